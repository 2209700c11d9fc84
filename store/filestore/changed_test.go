package filestore

import (
	"io"
	"time"

	"keyward/internal/records"
)

// changedKeys is a key file with what changes its keys.
type changedKeys struct {
	*KeyFile
	*records.Keys
}

func newKeys(cfg KeyFileConfig) *changedKeys { return newKeysFrom(nil, cfg) }

// newKeysFrom is newKeys with the random bytes that ids and secrets are made of.
func newKeysFrom(random io.Reader, cfg KeyFileConfig) *changedKeys {
	file := NewKeyFile(cfg)
	return &changedKeys{file, records.NewKeys(file.Editor(nil), cfg.Hasher, cfg.Now, random)}
}

// changedUsers is a users file with what changes its users.
type changedUsers struct {
	*UserFile
	*records.Users
}

func newUsers(cfg UserFileConfig, now func() time.Time) *changedUsers {
	file := NewUserFile(cfg)
	return &changedUsers{file, records.NewUsers(file.Editor(nil), now)}
}

// changedRevocations is a revocations file with what makes its revocations.
type changedRevocations struct {
	*RevocationFile
	*records.Revocations
}

func newRevocations(cfg RevocationFileConfig, now func() time.Time) *changedRevocations {
	file := NewRevocationFile(cfg)
	return &changedRevocations{file, records.NewRevocations(file.Editor(nil), now)}
}
