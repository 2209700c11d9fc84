package manage

import (
	"context"
	"errors"

	"keyward/authz"
	"keyward/manage/access"
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
		return store.KeyRecord{}, AsStoreError(err)
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
	return r, AsStoreError(err)
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
	return r, false, AsStoreError(err)
}

// ListKeys returns a page of the keys that the filter selects. It needs keyward:read
// or keyward:keys.
func (s *Service) ListKeys(ctx context.Context, a access.Actor, filter store.KeyFilter, page store.Page) ([]store.KeyRecord, store.Cursor, error) {
	if err := s.mayRead(ctx, a, access.Read|access.Keys, false, "keys"); err != nil {
		return nil, "", err
	}
	return s.listKeys(ctx, filter, page)
}

// OwnKeys returns a page of the keys of the actor's user. It needs keyward:self or a
// session.
func (s *Service) OwnKeys(ctx context.Context, a access.Actor, page store.Page) ([]store.KeyRecord, store.Cursor, error) {
	if !a.Has(access.Self) || a.User() == "" {
		s.Refuse(ctx, a, audit.Read, "keys", Forbidden)
		return nil, "", refuse(Forbidden, "one's own keys need the scope %s or a session", access.ScopeSelf)
	}
	return s.listKeys(ctx, store.KeyFilter{User: a.User()}, page)
}

func (s *Service) listKeys(ctx context.Context, filter store.KeyFilter, page store.Page) ([]store.KeyRecord, store.Cursor, error) {
	all, next, err := s.Keys.List(ctx, filter, page)
	return all, next, AsListError(err)
}

// User returns a user. It needs keyward:read or keyward:users.
func (s *Service) User(ctx context.Context, a access.Actor, name string) (store.UserRecord, error) {
	if err := s.mayRead(ctx, a, access.Read|access.Users, false, "users"); err != nil {
		return store.UserRecord{}, err
	}
	r, err := s.Users.Get(ctx, name)
	return r, AsStoreError(err)
}

// ListUsers returns a page of the users that the filter selects. It needs
// keyward:read or keyward:users.
func (s *Service) ListUsers(ctx context.Context, a access.Actor, filter store.UserFilter, page store.Page) ([]store.UserRecord, store.Cursor, error) {
	if err := s.mayRead(ctx, a, access.Read|access.Users, false, "users"); err != nil {
		return nil, "", err
	}
	all, next, err := s.Users.List(ctx, filter, page)
	return all, next, AsListError(err)
}

// AuditLog returns a page of the audit log. It needs keyward:read.
func (s *Service) AuditLog(ctx context.Context, a access.Actor, filter store.AuditFilter, page store.Page) ([]audit.Entry, store.Cursor, error) {
	if err := s.mayRead(ctx, a, access.Read, false, "audit"); err != nil {
		return nil, "", err
	}
	entries, next, err := s.Audit.List(ctx, filter, page)
	return entries, next, AsListError(err)
}

// AsListError is asError for a list: the cursor is what a caller can have wrong.
func AsListError(err error) error {
	err = AsStoreError(err)
	if e := AsError(err); e != nil && e.Code == Invalid {
		e.Detail = "the request has members that cannot be accepted"
		e.Fields = []FieldError{{"/query/cursor", "is not a cursor of this list"}}
	}
	return err
}

// ActorOf returns the actor of a key that was verified, as the key and its user are
// now: the zero Actor if one of them has ended since.
func (s *Service) ActorOf(ctx context.Context, keyID string, call access.Call) (access.Actor, error) {
	key, err := s.Keys.Get(ctx, keyID)
	if err != nil {
		return access.Actor{}, AsStoreError(err)
	}
	if key.User == "" {
		return access.KeyActor(&key, nil, s.Now(), call), nil
	}
	user, err := s.Users.Get(ctx, key.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return access.Actor{}, nil // deleted since the key was verified
	case err != nil:
		return access.Actor{}, AsStoreError(err)
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
