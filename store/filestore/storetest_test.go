package filestore

import (
	"path/filepath"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store/journal"
	"keyward/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		dir := t.TempDir()
		keys, users, revocations := filepath.Join(dir, "keys.jsonl"), filepath.Join(dir, "users.jsonl"), filepath.Join(dir, "revocations.jsonl")
		hasher := apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))
		follow := func(path string) journal.FollowConfig {
			return journal.FollowConfig{Path: path, MissingOK: true, Settle: time.Millisecond}
		}
		newer := func(path string) func(line string) {
			return func(line string) { appendTo(t, path, line+"\n") }
		}
		keyFile, userFile := NewKeyFile(KeyFileConfig{Path: keys, Hasher: hasher, Now: now}), NewUserFile(UserFileConfig{Path: users})
		revocationFile := NewRevocationFile(RevocationFileConfig{Path: revocations})
		log := NewAuditFile(AuditFileConfig{Path: filepath.Join(dir, "audit.jsonl"), Now: now})
		return storetest.Store{
			Keys:             keyFile,
			Users:            userFile,
			Revocations:      revocationFile,
			KeyEditor:        keyFile.Editor(log),
			UserEditor:       userFile.Editor(log),
			RevocationEditor: revocationFile.Editor(log),
			Audit:            log,
			Hasher:           hasher,
			KeyFeed:          KeyFeed{hasher, follow(keys)},
			UserFeed:         UserFeed{follow(users)},
			RevocationFeed:   RevocationFeed{follow(revocations)},

			NewerKey: newer(keys), NewerUser: newer(users), NewerRevocation: newer(revocations),
		}
	})
}
