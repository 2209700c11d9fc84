package manage

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// Key returns a key. It needs keyward:read or keyward:keys, or the key is the
// actor's own and asked for as such.
func (s *Service) Key(ctx context.Context, a access.Actor, ref KeyRef) (store.KeyRecord, error) {
	if err := s.mayRead(ctx, a, access.Read|access.Keys, ref.Own, "keys"); err != nil {
		return store.KeyRecord{}, err
	}
	r, err := s.Keys.Get(ctx, ref.ID)
	if err == nil && ref.Own && !owns(a, &r) {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.KeyRecord{}, fault.Of(err)
	}
	return r, nil
}

// MadeKey returns the key that an earlier attempt of the actor's may have made. It
// needs what making it needs.
func (s *Service) MadeKey(ctx context.Context, a access.Actor, id string) (store.KeyRecord, error) {
	r, err := s.Keys.Get(ctx, id)
	if err == nil {
		err = s.mayChangeKeys(a, r.User)
	}
	return r, fault.Of(err)
}

// FindKey returns the key whose secret this is, also one that has ended. A secret of
// no key is NotFound. It needs keyward:read.
func (s *Service) FindKey(ctx context.Context, a access.Actor, secret authz.Secret) (r store.KeyRecord, rotated bool, err error) {
	if err := s.mayRead(ctx, a, access.Read, false, "keys"); err != nil {
		return store.KeyRecord{}, false, err
	}
	r, err = s.Keys.FindBySecret(ctx, secret)
	if errors.Is(err, store.ErrRevoked) {
		return r, true, nil
	}
	return r, false, fault.Of(err)
}

// ListKeys returns a page of the keys that the filter selects, by what is in force now.
// It needs keyward:read or keyward:keys.
func (s *Service) ListKeys(ctx context.Context, a access.Actor, filter store.KeyFilter, page store.Page) ([]store.KeyRecord, store.Cursor, error) {
	if err := s.mayRead(ctx, a, access.Read|access.Keys, false, "keys"); err != nil {
		return nil, "", err
	}
	return s.listKeys(ctx, filter, page)
}

// CountKeys returns how many keys are in each state, some seconds ago where there are
// many; false if that is not known, or not for the actor. It needs keyward:read or
// keyward:keys.
func (s *Service) CountKeys(a access.Actor) (KeyCounts, bool) {
	if s.KeyCounts == nil || !a.Has(access.Read|access.Keys) {
		return KeyCounts{}, false
	}
	return s.KeyCounts(), true
}

// OwnKeys returns a page of the keys of the actor's user. It needs keyward:self or a
// session.
func (s *Service) OwnKeys(ctx context.Context, a access.Actor, page store.Page) ([]store.KeyRecord, store.Cursor, error) {
	if !a.Has(access.Self) || a.User() == "" {
		s.Refuse(ctx, a, audit.Read, "keys", fault.Forbidden)
		return nil, "", fault.Refuse(fault.Forbidden, "one's own keys need the scope %s or a session", access.ScopeSelf)
	}
	return s.listKeys(ctx, *ownKeys(a), page)
}

func (s *Service) listKeys(ctx context.Context, filter store.KeyFilter, page store.Page) ([]store.KeyRecord, store.Cursor, error) {
	var err error
	filter.Now = s.Now()
	if filter.Rules, err = s.keyRules(ctx); err != nil {
		return nil, "", fault.Of(err)
	}
	if filter.UnusedFor > 0 {
		// Without a record of uses every key would look unused.
		if s.LastUse == nil {
			var bad fault.Problems
			bad.Add("/query/unused_for", "needs a usage file, which the configuration does not name")
			return nil, "", bad.Err()
		}
		if filter.LastUse, err = s.LastUse(); err != nil {
			return nil, "", &fault.Error{Code: fault.StoreUnavailable, Detail: "the use of keys cannot be read", Cause: err}
		}
	}
	all, next, err := s.Keys.List(ctx, filter, page)
	return all, next, fault.OfList(err)
}

// KeyViewer returns what shows keys as they are now. On an error it shows what the
// records alone say, which the caller must not take for a key's state.
func (s *Service) KeyViewer(ctx context.Context) (func(*store.KeyRecord) KeyView, error) {
	rules, err := s.keyRules(ctx)
	lastUse := func(string) time.Time { return time.Time{} }
	if s.LastUse != nil {
		// A usage file that cannot be read hides no key.
		if known, err := s.LastUse(); err == nil {
			lastUse = known
		}
	}
	now := s.Now()
	return func(r *store.KeyRecord) KeyView {
		v := ViewKey(&rules, r, now)
		v.LastUse = lastUse(r.ID)
		return v
	}, fault.Of(err)
}

// User returns a user. It needs keyward:read or keyward:users.
func (s *Service) User(ctx context.Context, a access.Actor, name string) (store.UserRecord, error) {
	if err := s.mayRead(ctx, a, access.Read|access.Users, false, "users"); err != nil {
		return store.UserRecord{}, err
	}
	r, err := s.Users.Get(ctx, name)
	return r, fault.Of(err)
}

// ListUsers returns a page of the users that the filter selects. It needs
// keyward:read or keyward:users.
func (s *Service) ListUsers(ctx context.Context, a access.Actor, filter store.UserFilter, page store.Page) ([]store.UserRecord, store.Cursor, error) {
	if err := s.mayRead(ctx, a, access.Read|access.Users, false, "users"); err != nil {
		return nil, "", err
	}
	all, next, err := s.Users.List(ctx, filter, page)
	return all, next, fault.OfList(err)
}

// AuditLog returns a page of the audit log. It needs keyward:read.
func (s *Service) AuditLog(ctx context.Context, a access.Actor, filter store.AuditFilter, page store.Page) ([]audit.Entry, store.Cursor, error) {
	if err := s.mayRead(ctx, a, access.Read, false, "audit"); err != nil {
		return nil, "", err
	}
	entries, next, err := s.Audit.List(ctx, filter, page)
	return entries, next, fault.OfList(err)
}

// ActorOf returns the actor of a key that was verified, as the key and its user are
// now: the zero Actor if one of them has ended since.
func (s *Service) ActorOf(ctx context.Context, keyID string, call access.Call) (access.Actor, error) {
	key, err := s.Keys.Get(ctx, keyID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return access.Actor{}, nil // deleted since it was verified
	case err != nil:
		return access.Actor{}, fault.Of(err)
	}
	if key.User == "" {
		return access.KeyActor(&key, nil, s.Now(), call), nil
	}
	user, err := s.Users.Get(ctx, key.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return access.Actor{}, nil // deleted since the key was verified
	case err != nil:
		return access.Actor{}, fault.Of(err)
	}
	return access.KeyActor(&key, &user, s.Now(), call), nil
}

// Renew returns the actor of a key as the key and its user are now: the zero Actor if
// the key has ended meanwhile.
func (s *Service) Renew(ctx context.Context, a access.Actor) (access.Actor, error) {
	if a.Key() == "" {
		return a, nil
	}
	now, err := s.ActorOf(ctx, a.Key(), access.Call{Via: a.Via()})
	if err != nil || !now.Known() {
		return access.Actor{}, err
	}
	return now.WithCallOf(a), nil
}
