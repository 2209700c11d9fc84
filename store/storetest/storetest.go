// Package storetest is the suite that every store passes.
package storetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/internal/records"
	"keyward/store"
)

// Store is an empty store under test.
type Store struct {
	Keys        store.KeyReader
	Users       store.UserReader
	Revocations store.RevocationReader
	Projects    store.Reader[store.Project, store.ProjectFilter]
	Clients     store.Reader[store.Client, store.ClientFilter]
	Hasher      *apikey.Hasher // of the keys

	KeyEditor        store.Editor[store.KeyRecord]
	UserEditor       store.Editor[store.UserRecord]
	RevocationEditor store.Editor[store.Revocation]
	ProjectEditor    store.Editor[store.Project]
	ClientEditor     store.Editor[store.Client]
	Audit            store.AuditLog

	// The feeds may be nil, all of them: their tests are skipped.
	KeyFeed        store.Feed[store.KeyRecord]
	UserFeed       store.Feed[store.UserRecord]
	RevocationFeed store.Feed[store.Revocation]

	// Each adds a line to the store as a newer version of Keyward does, which knows
	// members of a record that this version does not.
	NewerKey, NewerUser, NewerRevocation, NewerProject, NewerClient func(line string)
}

// Run runs the suite. Each test has an empty store, which open makes, and which
// goes by the clock now.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) Store) {
	for name, test := range map[string]func(*fixture){
		"keys/create":               testCreate,
		"keys/invalid":              testInvalidKeys,
		"keys/not found":            testKeysNotFound,
		"keys/revoke":               testRevoke,
		"keys/delete":               testDelete,
		"keys/rotate":               testRotate,
		"keys/rotate with a grace":  testRotateWithGrace,
		"keys/import":               testImport,
		"keys/versions":             testKeyVersions,
		"keys/of a newer version":   testNewerKey,
		"keys/list":                 testListKeys,
		"keys/pages":                testPages,
		"keys/at the same time":     testConcurrentWriters,
		"keys/a context that ended": testContext,
		"users/set":                 testSetUser,
		"users/names":               testUserNames,
		"users/delete":              testDeleteUser,
		"users/versions":            testUserVersions,
		"users/list":                testListUsers,
		"users/import":              testImportUsers,
		"users/of a newer version":  testNewerUser,
		"revocations/revoke":        testRevokeTokens,
		"revocations/of nothing":    testRevocationsOfNothing,
		"revocations/of newer":      testNewerRevocation,
		"projects/a project":        testProjects,
		"projects/list":             testListProjects,
		"projects/of newer":         testNewerProject,
		"clients/a client":          testClients,
		"clients/list":              testListClients,
		"clients/of newer":          testNewerClient,
		"edits/a change":            testEdit,
		"edits/refused":             testRefusedEdit,
		"edits/several records":     testEditOfSeveral,
		"edits/invalid":             testInvalidEdit,
		"edits/users":               testEditUsers,
		"edits/at the same time":    testConcurrentEdits,
		"audit/entries":             testAuditEntries,
		"audit/list":                testAuditList,
		"feeds/keys":                testKeyFeed,
		"feeds/users":               testUserFeed,
		"feeds/revocations":         testRevocationFeed,
		"feeds/close":               testFeedClose,
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{T: t, time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
			f.Store = open(t, f.now)
			if strings.HasPrefix(name, "feeds/") && f.KeyFeed == nil && f.UserFeed == nil && f.RevocationFeed == nil {
				t.Skip("the store has no feeds")
			}
			f.Keys = keys{f.Store.Keys, records.NewKeys(f.KeyEditor, f.Hasher, f.now, nil)}
			f.Users = users{f.Store.Users, records.NewUsers(f.UserEditor, f.now)}
			f.Revocations = revocations{f.Store.Revocations, records.NewRevocations(f.RevocationEditor, f.now)}
			test(f)
		})
	}
}

// Each of these reads the records of one kind, and changes them by their editor.
type (
	keys struct {
		store.KeyReader
		*records.Keys
	}
	users struct {
		store.UserReader
		*records.Users
	}
	revocations struct {
		store.RevocationReader
		*records.Revocations
	}
)

// fixture is a test with its store and its clock.
type fixture struct {
	*testing.T
	Store

	Keys        keys
	Users       users
	Revocations revocations

	mu   sync.Mutex
	time time.Time
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.time
}

// pass lets time pass by the store's clock.
func (f *fixture) pass(d time.Duration) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.time = f.time.Add(d)
	return f.time
}

func (f *fixture) ctx() context.Context { return context.Background() }
