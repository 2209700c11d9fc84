package postgres

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/postgres/pgurl"
)

// Config is which database a Store uses, and with what. What the URL does not name, the
// environment does, by the variables of libpq that pgx knows.
type Config struct {
	URL          pgurl.URL
	PasswordFile string // read for each connection; "": PGPASSWORD, .pgpass or none
	// Hasher hashes the secrets of keys and clients. A database whose secrets have
	// another pepper is ErrPepper. nil: for what uses no secret.
	Hasher *apikey.Hasher
	Now    func() time.Time // nil: time.Now

	// What tests replace: how connections are made, and settleTimeout.
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	settle time.Duration
}

// Store is a store in a Postgres database. Its methods return [ErrUnavailable] if the
// database does not answer or refuses, [ErrSchema] if its schema is missing or one that
// this program cannot serve, and [ErrPepper].
type Store struct {
	pool     *pgxpool.Pool
	hasher   *apikey.Hasher
	now      func() time.Time
	settle   time.Duration // settleTimeout
	audit    AuditLog
	keys     keyReader
	users    userReader
	projects reader[store.Project, store.ProjectFilter]
	clients  reader[store.Client, store.ClientFilter]
	revoked  reader[store.Revocation, store.RevocationFilter]
}

// New returns a Store. It opens no connection: a program starts without its database.
func New(cfg Config) (*Store, error) {
	s := &Store{hasher: cfg.Hasher, now: cfg.Now, settle: cmp.Or(cfg.settle, settleTimeout)}
	if s.now == nil {
		s.now = time.Now
	}
	pool, err := cfg.poolConfig()
	if err != nil {
		return nil, err
	}
	pool.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { return checkDatabase(ctx, conn, cfg.Hasher) }
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), pool); err != nil {
		return nil, err
	}
	s.audit.store = s
	s.keys = keyReader{newReader(s, keyKind(), (*store.KeyFilter).Match, keyConditions)}
	s.users = userReader{newReader(s, userKind(), (*store.UserFilter).Match, conditions[store.UserFilter]{})}
	s.users.hide = func(r *store.UserRecord) { r.Password = "" }
	s.projects = newReader(s, projectKind(), (*store.ProjectFilter).Match, conditions[store.ProjectFilter]{})
	s.clients = newReader(s, clientKind(), (*store.ClientFilter).Match, conditions[store.ClientFilter]{})
	s.revoked = newReader(s, revocationKind(), (*store.RevocationFilter).Match, revocationConditions)
	return s, nil
}

// Close closes the connections and waits for those in use.
func (s *Store) Close() { s.pool.Close() }

// Check returns why the database cannot be used; nil if it can.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return failed(ctx, err)
	}
	defer conn.Release()
	return failed(ctx, checkDatabase(ctx, conn.Conn(), s.hasher))
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
