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

func TestStore(t *testing.T) { testStore(t, false) }

// TestStoreInMemory is TestStore with a catalog of the keys and with the users kept.
func TestStoreInMemory(t *testing.T) { testStore(t, true) }

func testStore(t *testing.T, inMemory bool) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		dir := t.TempDir()
		keys, users, revocations := filepath.Join(dir, "keys.jsonl"), filepath.Join(dir, "users.jsonl"), filepath.Join(dir, "revocations.jsonl")
		projects := filepath.Join(dir, "projects.jsonl")
		hasher := apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))
		follow := func(path string) journal.FollowConfig {
			return journal.FollowConfig{Path: path, MissingOK: true, Settle: time.Millisecond}
		}
		newer := func(path string) func(line string) {
			return func(line string) { appendTo(t, path, line+"\n") }
		}
		keyConfig := KeyFileConfig{Path: keys, Hasher: hasher, Now: now}
		if inMemory {
			keyConfig.Catalog = &CatalogConfig{IDOf: idInFile(t, NewKeyFile(keyConfig))}
		}
		keyFile, userFile := NewKeyFile(keyConfig), NewUserFile(UserFileConfig{Path: users, Keep: inMemory})
		revocationFile := NewRevocationFile(RevocationFileConfig{Path: revocations})
		projectFile := NewProjectFile(ProjectFileConfig{Path: projects})
		log := NewAuditFile(AuditFileConfig{Path: filepath.Join(dir, "audit.jsonl"), Now: now})
		return storetest.Store{
			Keys:             keyFile,
			Users:            userFile,
			Revocations:      revocationFile,
			KeyEditor:        keyFile.Editor(log),
			UserEditor:       userFile.Editor(log),
			RevocationEditor: revocationFile.Editor(log),
			Projects:         projectFile,
			ProjectEditor:    projectFile.Editor(log),
			Audit:            log,
			Hasher:           hasher,
			KeyFeed:          KeyFeed{hasher, follow(keys)},
			UserFeed:         UserFeed{follow(users)},
			RevocationFeed:   RevocationFeed{follow(revocations)},

			NewerKey: newer(keys), NewerUser: newer(users), NewerRevocation: newer(revocations), NewerProject: newer(projects),
		}
	})
}

// idInFile returns what keyindex answers when it has read the file: the key that has
// or had a secret.
func idInFile(t testing.TB, file *KeyFile) func(apikey.Digest) (string, bool) {
	return func(d apikey.Digest) (string, bool) {
		ids, err := file.holders(t.Context(), d)
		if err != nil || len(ids) == 0 {
			return "", false
		}
		return ids[len(ids)-1].String(), true
	}
}
