package postgres

import (
	"cmp"
	"time"

	"keyward/store"
	"keyward/store/postgres/database"
)

// Config is what a Store is made of.
type Config struct {
	DB  *database.DB
	Now func() time.Time // nil: time.Now

	settle time.Duration // what tests put in the place of settleTimeout; zero: that
}

// Store is a store in a Postgres database. Its methods return [database.ErrUnavailable]
// if the database does not answer or refuses, [database.ErrSchema] if its schema is
// missing or one that this program cannot serve, and [database.ErrPepper].
type Store struct {
	db       *database.DB
	now      func() time.Time
	settle   time.Duration // settleTimeout
	writing  chan struct{} // has one element while a writer of this process is at work
	audit    AuditLog
	keys     keyReader
	users    userReader
	projects reader[store.Project, store.ProjectFilter]
	clients  reader[store.Client, store.ClientFilter]
	revoked  reader[store.Revocation, store.RevocationFilter]
}

// New returns a Store in the database.
func New(cfg Config) *Store {
	s := &Store{db: cfg.DB, now: cfg.Now, settle: cmp.Or(cfg.settle, settleTimeout), writing: make(chan struct{}, 1)}
	if s.now == nil {
		s.now = time.Now
	}
	s.audit.store = s
	s.keys = keyReader{newReader(s, keyKind(), (*store.KeyFilter).Match, keyConditions)}
	s.users = userReader{newReader(s, userKind(), (*store.UserFilter).Match, conditions[store.UserFilter]{})}
	s.users.hide = func(r *store.UserRecord) { r.Password = "" }
	s.projects = newReader(s, projectKind(), (*store.ProjectFilter).Match, conditions[store.ProjectFilter]{})
	s.clients = newReader(s, clientKind(), (*store.ClientFilter).Match, conditions[store.ClientFilter]{})
	s.revoked = newReader(s, revocationKind(), (*store.RevocationFilter).Match, revocationConditions)
	return s
}

// Keys reads the keys.
func (s *Store) Keys() store.KeyReader { return &s.keys }

// Users reads the users.
func (s *Store) Users() store.UserReader { return &s.users }

// Projects reads the projects.
func (s *Store) Projects() store.Reader[store.Project, store.ProjectFilter] { return &s.projects }

// Clients reads the OAuth clients.
func (s *Store) Clients() store.Reader[store.Client, store.ClientFilter] { return &s.clients }

// Revocations reads the revocations.
func (s *Store) Revocations() store.RevocationReader { return &s.revoked }

// Audit is the audit log.
func (s *Store) Audit() *AuditLog { return &s.audit }

// KeyEditor changes keys.
func (s *Store) KeyEditor() store.Editor[store.KeyRecord] {
	return &editor[store.KeyRecord]{query: s.keys.query, store: s, prepare: refuseKnownImports, also: writeSecrets}
}

// UserEditor changes users.
func (s *Store) UserEditor() store.Editor[store.UserRecord] {
	return &editor[store.UserRecord]{query: s.users.query, store: s, prepare: succeedEnded}
}

// ProjectEditor changes projects.
func (s *Store) ProjectEditor() store.Editor[store.Project] {
	return &editor[store.Project]{query: s.projects.query, store: s}
}

// ClientEditor changes OAuth clients.
func (s *Store) ClientEditor() store.Editor[store.Client] {
	return &editor[store.Client]{query: s.clients.query, store: s}
}

// RevocationEditor changes revocations. A revocation has no id by which to get it.
func (s *Store) RevocationEditor() store.Editor[store.Revocation] {
	return &editor[store.Revocation]{query: s.revoked.query, store: s}
}
