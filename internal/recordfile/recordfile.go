// Package recordfile has the files of tests and measurements: each reads its records,
// as the store does, and changes them, as the commands do. Changes leave no entry in an
// audit log.
package recordfile

import (
	"time"

	"keyward/internal/records"
	"keyward/store/filestore"
)

// KeyFile is a key file.
type KeyFile struct {
	*filestore.KeyFile
	*records.Keys
}

// NewKeyFile returns a key file.
func NewKeyFile(cfg filestore.KeyFileConfig) *KeyFile {
	file := filestore.NewKeyFile(cfg)
	return &KeyFile{file, records.NewKeys(file.Editor(nil), cfg.Hasher, cfg.Now, nil)}
}

// UserFile is a users file.
type UserFile struct {
	*filestore.UserFile
	*records.Users
}

// NewUserFile returns a users file. now may be nil: time.Now.
func NewUserFile(cfg filestore.UserFileConfig, now func() time.Time) *UserFile {
	file := filestore.NewUserFile(cfg)
	return &UserFile{file, records.NewUsers(file.Editor(nil), now)}
}

// RevocationFile is a revocations file.
type RevocationFile struct {
	*filestore.RevocationFile
	*records.Revocations
}

// NewRevocationFile returns a revocations file. now may be nil: time.Now.
func NewRevocationFile(cfg filestore.RevocationFileConfig, now func() time.Time) *RevocationFile {
	file := filestore.NewRevocationFile(cfg)
	return &RevocationFile{file, records.NewRevocations(file.Editor(nil), now)}
}
