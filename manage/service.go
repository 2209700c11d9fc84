package manage

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/audit"
)

// Stores are where the records are. A call about records whose store is nil must not be
// made.
type Stores struct {
	Keys      store.KeyReader
	KeyEditor store.Editor[store.KeyRecord]

	Users      store.UserReader
	UserEditor store.Editor[store.UserRecord]

	RevocationEditor store.Editor[store.Revocation]

	Audit store.AuditLog // nil: refusals leave no entry
}

// Config is what a Service is made of.
type Config struct {
	Stores
	// Hasher hashes the secrets of new keys.
	Hasher *apikey.Hasher
	// Prefixes are those by which the checks recognise keys, the first of which new
	// keys have; none: any, and kw_.
	Prefixes []string
	// KeyRate is the rate of keys without one of their own; zero: they have no limit.
	KeyRate authz.Rate
	// HashPassword hashes a password, within the bounds of the server's pool.
	HashPassword func(context.Context, authz.Secret) (string, error)
	// LatestKey returns when the latest key of the user was made, zero if it has none.
	// nil: Keys has it.
	LatestKey func(ctx context.Context, user string) (time.Time, error)
	// Await waits until a change is in force in the checks of this process: that of
	// the number seq to a record of the kind. nil: no checks are made here.
	Await func(ctx context.Context, kind string, seq int64) error

	Rand io.Reader        // nil: crypto/rand.Reader
	Now  func() time.Time // nil: time.Now
}

// Service makes the changes that an actor may make. Its methods may be called at the
// same time. Every error is an [Error].
type Service struct {
	Config
	maker    store.KeyMaker
	refusals *refusals
}

// New returns a Service over the stores.
func New(cfg Config) *Service {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{Config: cfg, maker: store.KeyMaker{Hasher: cfg.Hasher, Rand: cfg.Rand}, refusals: newRefusals(cfg.Now)}
}

// entry is the audit entry of what the actor does to a record.
func (a Actor) entry(action audit.Action, record string, changes []audit.Change) *audit.Entry {
	return &audit.Entry{
		Actor: a.name, ActorKey: a.key, Action: action, Record: record, Via: a.via, Address: a.address,
		RequestID: a.requestID, Outcome: audit.Done, Changes: changes,
	}
}

// Refuse records that the actor was refused, for what a caller of the Service refuses
// itself, such as a request that cannot be understood. An actor who is refused more
// often than ten times a minute leaves no more entries.
func (s *Service) Refuse(ctx context.Context, a Actor, action audit.Action, record string, code Code) {
	if a.name == "" || s.Audit == nil || !s.refusals.allow(a.name) {
		return
	}
	e := a.entry(action, record, nil)
	e.Outcome, e.Reason = audit.Refused, string(code)
	// A refusal stands, whether or not the log has it.
	_ = s.Audit.Append(ctx, e)
}

// finish is the end of every change: a refusal is recorded, and a change is in force
// in this process before it is reported.
func (s *Service) finish(ctx context.Context, a Actor, action audit.Action, record string, seq int64, err error) error {
	if err == nil {
		if s.Await == nil || seq == 0 {
			return nil
		}
		return asError(s.Await(ctx, action.Kind(), seq))
	}
	err = asError(err)
	var e *Error
	if errors.As(err, &e) && e.isRefusal() {
		s.Refuse(ctx, a, action, record, e.Code)
	}
	return err
}

// AuditLog returns a page of the audit log.
func (s *Service) AuditLog(ctx context.Context, a Actor, filter store.AuditFilter, page store.Page) ([]audit.Entry, store.Cursor, error) {
	if !a.roles.has(roleRead) {
		err := refuse(Forbidden, "reading the audit log needs the scope %s", ScopeRead)
		s.Refuse(ctx, a, audit.Read, "audit", Forbidden)
		return nil, "", err
	}
	entries, next, err := s.Audit.List(ctx, filter, page)
	return entries, next, asError(err)
}
