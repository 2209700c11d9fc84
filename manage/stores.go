package manage

import (
	"keyward/store"
)

// Stores are where the records are. A call about records whose store is nil must not be
// made.
type Stores struct {
	Keys      store.KeyReader
	KeyEditor store.Editor[store.KeyRecord]

	Users      store.UserReader
	UserEditor store.Editor[store.UserRecord]

	Revocations      store.RevocationReader // nil: none can be made
	RevocationEditor store.Editor[store.Revocation]

	// Without them, the project of a key is only a name.
	ProjectReader store.Reader[store.Project, store.ProjectFilter]
	ProjectEditor store.Editor[store.Project]

	ClientReader store.Reader[store.Client, store.ClientFilter]
	ClientEditor store.Editor[store.Client]

	Audit store.AuditLog // nil: refusals leave no entry
}

// StoresOf returns the Stores whose records are all in one store, with its audit log.
func StoresOf(all store.AllRecords, log store.AuditLog) Stores {
	return Stores{
		Keys: all.Keys(), KeyEditor: all.KeyEditor(), Users: all.Users(), UserEditor: all.UserEditor(),
		Revocations: all.Revocations(), RevocationEditor: all.RevocationEditor(),
		ProjectReader: all.Projects(), ProjectEditor: all.ProjectEditor(),
		ClientReader: all.Clients(), ClientEditor: all.ClientEditor(), Audit: log,
	}
}
