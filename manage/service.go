package manage

import (
	"context"
	"crypto/rand"
	"io"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/linking"
	"keyward/manage/observed"
	"keyward/manage/refusals"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
	"keyward/usage"
)

// Config is what a Service is made of.
type Config struct {
	Stores
	// Hasher hashes the secrets of new keys.
	Hasher *apikey.Hasher
	// Rules are what the state of a key depends on beside its record; nil: nothing.
	Rules func(context.Context) (store.KeyRules, error)
	// Prefixes are those by which the checks recognise keys, the first of which new
	// keys have; none: any, and kw_.
	Prefixes []string
	// KeysInBasic means that keys may be in Basic credentials too; see [authz.CheckKey].
	KeysInBasic bool
	// KeyRate is the rate of keys without one of their own; zero: they have no limit.
	KeyRate authz.Rate
	// HashPassword hashes a password, within the bounds of the server's pool.
	HashPassword func(context.Context, authz.Secret) (string, error)
	// LatestKey returns when the latest key of the user was made, zero if it has none.
	// nil: Keys is asked.
	LatestKey func(ctx context.Context, user string) (time.Time, error)
	// SessionExists reports whether the user has a session with that id that has not
	// ended. nil: the user's record alone is looked at.
	SessionExists func(ctx context.Context, user, id string) (bool, error)
	// Await waits until a change is in force in the checks of this process: that of
	// the number seq to a record of the kind, the last of a step of that many changes.
	// nil: no checks are made here.
	Await func(ctx context.Context, kind string, seq int64, changes int) error
	// Changed counts a change of a record that was made; nil counts nothing.
	Changed func(audit.Action)

	// Refusals are the counts of refused calls; nil: those of this Service alone, which are
	// not written.
	Refusals *refusals.Counts

	// Usage returns the use of a key, and LastUse what returns when a key was last used,
	// zero for one that never was; nil: none is known.
	Usage   func(keyID string) (usage.Usage, error)
	LastUse func() (func(keyID string) time.Time, error)
	// KeyCounts returns how many keys are in each state; nil: that is not known.
	KeyCounts func() KeyCounts
	// Observed is what is known of the checks of this process; its MayRead is set.
	Observed observed.Config
	// Limits are the rate-limit counters; nil: there are none.
	Limits Limits

	Rand io.Reader        // nil: crypto/rand.Reader
	Now  func() time.Time // nil: time.Now
}

// Limits are the counters of keys' rate limits: of this process, or of the store that
// all replicas share.
type Limits interface {
	// KeyLimit returns what is left of a key's limit; nil if it has none.
	KeyLimit(ctx context.Context, keyID string) (*KeyLimit, error)
	// ResetKeyLimit makes the key's count that of one never used.
	ResetKeyLimit(ctx context.Context, keyID string) error
}

// KeyLimit is what is left of a key's rate limit.
type KeyLimit struct {
	Limit     string  `json:"limit" doc:"The limit that counts: that of the key, or of its kind."`
	Rate      string  `json:"rate"`
	Burst     int     `json:"burst"`
	Remaining int     `json:"remaining"`
	Reset     float64 `json:"reset_seconds"`
	Retry     float64 `json:"retry_after_seconds"`
}

// KeyCounts says how many keys there are in each state, as keyindex.Counts does: a key is
// in one of them.
type KeyCounts struct{ Active, Rotating, Expiring, NotYetValid, Paused, Expired, Revoked int }

// InForce is how many the checks accept.
func (c KeyCounts) InForce() int { return c.Active + c.Rotating + c.Expiring }

// All is how many there are.
func (c KeyCounts) All() int { return c.InForce() + c.NotYetValid + c.Paused + c.Expired + c.Revoked }

// Service makes the changes that an actor may make. Its methods may be called at the
// same time. Every error is an [Error].
type Service struct {
	Config
	*registry.Projects
	*registry.Clients
	*observed.Checks
	*linking.Identities
	maker store.KeyMaker
}

// New returns a Service over the stores.
func New(cfg Config) *Service {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Refusals == nil {
		cfg.Refusals = refusals.New(cfg.Now)
	}
	s := &Service{Config: cfg, maker: store.KeyMaker{Hasher: cfg.Hasher, Rand: cfg.Rand}}
	s.Projects = registry.NewProjects(registry.ProjectConfig{
		Steps: s.steps(), Records: recordsOf(s, cfg.ProjectReader, cfg.ProjectEditor), HasKeys: s.hasKeys,
	})
	s.Clients = registry.NewClients(registry.ClientConfig{
		Steps: s.steps(), Records: recordsOf(s, cfg.ClientReader, cfg.ClientEditor), Hasher: cfg.Hasher, Rand: cfg.Rand,
	})
	s.Observed.MayRead = s.steps().MayRead
	s.Checks = observed.New(s.Observed)
	edit := func(ctx context.Context, edit func(store.Tx[store.UserRecord]) error) error {
		return changing(ctx, s, s.UserEditor, edit)
	}
	s.Identities = linking.New(linking.Config{Steps: s.steps(), Edit: edit, EditFor: s.editUsers, Put: putUser})
	return s
}

// Refuse records that the actor was refused, for what a caller of the Service refuses
// itself, such as a request that cannot be understood. Refusals of an actor beyond ten a
// minute are counted.
func (s *Service) Refuse(ctx context.Context, a access.Actor, action audit.Action, record string, code fault.Code) {
	if !a.Known() || s.Audit == nil {
		return
	}
	if e := a.Refused(action, record, string(code)); s.Refusals.Own(e) {
		// A refusal stands, whether or not the log has it.
		_ = s.Audit.Append(ctx, e)
	}
}

// RefuseUnknown counts a refused call of a client that is not authenticated. The reason
// is one of a closed set.
func (s *Service) RefuseUnknown(action audit.Action, via audit.Via, client authz.Address, reason string) {
	if s.Audit != nil {
		s.Refusals.Unknown(action, via, client, reason)
	}
}

// finish is the end of every change: a refusal is recorded, and a change is in force
// in this process before it is reported.
func (s *Service) finish(ctx context.Context, a access.Actor, action audit.Action, record string, seq int64, err error) error {
	if err == nil {
		return s.inForce(ctx, action, seq, 1)
	}
	err = fault.Of(err)
	if e := fault.AsError(err); e.IsRefusal() {
		s.Refuse(ctx, a, action, record, e.Code)
	}
	return err
}

// inForce returns once the last of the changes is in force in this process, or why it
// is not yet.
func (s *Service) inForce(ctx context.Context, action audit.Action, seq int64, changes int) error {
	if s.Await == nil || seq == 0 {
		return nil
	}
	if err := s.Await(ctx, action.Kind(), seq, changes); err != nil {
		return &fault.Error{Code: fault.StoreUnavailable, Detail: "the change was made, and is not in force in this process yet", Cause: err}
	}
	return nil
}

// keyRules are what the state of a key depends on now.
func (s *Service) keyRules(ctx context.Context) (store.KeyRules, error) {
	if s.Rules == nil {
		return store.KeyRules{}, nil
	}
	return s.Rules(ctx)
}

// Prefix is that of new keys, if the caller names none.
func (s *Service) Prefix() string {
	for _, prefix := range s.Prefixes {
		if prefix != "" {
			return prefix
		}
	}
	return ""
}
