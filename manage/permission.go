package manage

import (
	"context"
	"time"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// owns reports whether the key is the actor's: its user's, or the one that it
// presented. One of an earlier user of that name is not.
func owns(a access.Actor, r *store.KeyRecord) bool {
	return a.Known() && (a.Key() == r.ID || a.User() != "" && ownKeys(a).Match(r) && a.Has(access.Self))
}

// ownKeys selects the keys of the actor's user.
func ownKeys(a access.Actor) *store.KeyFilter {
	return &store.KeyFilter{User: a.User(), MadeAfter: a.OwnsAfter()}
}

// mayRefer refuses an actor who may not change keys of others, before it learns
// whether the key is there. A key without a role can revoke itself, and no more: one
// that leaked must not lock out its owner by a new secret.
func (s *Service) mayRefer(a access.Actor, ref KeyRef, action audit.Action) error {
	if ref.Own {
		itself := a.Key() != "" && a.Key() == ref.ID && action == audit.KeyRevoke
		if a.Known() && (a.Has(access.Self) || itself) {
			return nil
		}
		return fault.Refuse(fault.Forbidden, "changing one's own keys needs the scope %s or a session", access.ScopeSelf)
	}
	return s.mayChangeKeys(a, "")
}

// mayChangeKeys refuses an actor who may not hand out and change keys of the user;
// "" is any.
func (s *Service) mayChangeKeys(a access.Actor, user string) error {
	own := user != "" && user == a.User() && a.Has(access.Self)
	if own || a.Has(access.Keys) {
		return nil
	}
	return fault.Refuse(fault.Forbidden, "keys of others need the scope %s", access.ScopeKeys)
}

// mayHandOut refuses an actor who would be shown a secret of a key that may do more
// than the actor itself, or who would make a key able to.
func (s *Service) mayHandOut(ctx context.Context, a access.Actor, r *store.KeyRecord) error {
	if a.Unbounded() {
		return s.managesForUser(r)
	}
	if r.User != "" && r.User != a.User() {
		user, err := s.Users.Get(ctx, r.User)
		if err != nil {
			return fault.Refuse(fault.BeyondCaller, "the key's user is not on record, and could be given anything later")
		}
		if len(access.Managing(user.Scopes)) > 0 {
			return fault.Refuse(fault.BeyondCaller, "the key's user has a scope that begins with %s: its keys can only be revoked", access.ScopePrefix)
		}
	}
	isMember, err := s.IsMemberFor(ctx, a, r)
	if err != nil {
		return err
	}
	if member := a.KeyBeyond(r, s.KeyRate, isMember); member != "" {
		return fault.Refuse(fault.BeyondCaller, "by its %s the key could do more than the caller", member)
	}
	return s.managesForUser(r)
}

// mayChange refuses an actor who may not hand out the key as it is, or as it would be.
// A narrower key is not enough: an actor who narrows the key of another and rotates it
// has the secret when the key is widened again.
func (s *Service) mayChange(ctx context.Context, a access.Actor, before, after *store.KeyRecord) error {
	if !a.Unbounded() {
		if err := s.mayHandOut(ctx, a, before); err != nil {
			return err
		}
	}
	return s.mayHandOut(ctx, a, after)
}

// ReauthenticateAfter is how long after its login a session may be shown secrets of
// others, or set them: a browser that was left alone must not give away access that
// lasts.
const ReauthenticateAfter = 15 * time.Minute

// mayMakeSecret refuses an actor whose session is too old to make a secret for the
// user, unless that is its own; "" is another or no user.
func (s *Service) mayMakeSecret(a access.Actor, user string) error {
	if user != "" && user == a.User() || a.LoggedInWithin(ReauthenticateAfter, s.Now()) {
		return nil
	}
	return fault.Refuse(fault.Reauthenticate, "a secret for others needs a login within the last %.0f minutes: log in again", ReauthenticateAfter.Minutes())
}

// mayChangeUsers refuses an actor who may change no user, before it learns which
// are there.
func mayChangeUsers(a access.Actor) error {
	if a.Has(access.Users) {
		return nil
	}
	return fault.Refuse(fault.Forbidden, "users need the scope %s", access.ScopeUsers)
}

// mayChangeUser refuses an actor who would change a user that may do more than the actor
// itself, or make one able to, or who would change one that may manage.
func mayChangeUser(a access.Actor, action audit.Action, before, after *store.UserRecord) error {
	if a.Unbounded() {
		return nil
	}
	if len(access.Managing(before.Scopes)) > 0 {
		return fault.Refuse(fault.Forbidden, "a user with a scope that begins with %s needs the scope %s", access.ScopePrefix, access.ScopeAdmin)
	}
	if action.Ends() {
		return nil
	}
	// A narrower user is not enough: the password that one sets by a link stays when the
	// user is widened again.
	if action != audit.UserCreate {
		if err := mayGrant(a, before); err != nil {
			return err
		}
	}
	return mayGrant(a, after)
}

// mayGrant refuses an actor who would make a user able to do more than the actor.
func mayGrant(a access.Actor, r *store.UserRecord) error {
	if member := a.UserBeyond(r); member != "" {
		return fault.Refuse(fault.BeyondCaller, "by its %s the user could do more than the caller", member)
	}
	return nil
}

// mayImport refuses an actor who may not import records.
func (s *Service) mayImport(a access.Actor) error {
	if a.Has(access.Admin) {
		return s.mayMakeSecret(a, "")
	}
	return fault.Refuse(fault.Forbidden, "an import needs the scope %s", access.ScopeAdmin)
}

// mayRead refuses, and records, an actor who has none of the wanted roles.
func (s *Service) mayRead(ctx context.Context, a access.Actor, wanted access.Roles, own bool, what string) error {
	if a.Has(wanted) || own && a.Known() {
		return nil
	}
	s.Refuse(ctx, a, audit.Read, what, fault.Forbidden)
	return fault.Refuse(fault.Forbidden, "reading %s needs the scope %s", what, access.ScopeRead)
}
