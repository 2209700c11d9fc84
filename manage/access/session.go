package access

import (
	"time"

	"keyward/store"
)

// Session is a login to the console whose cookie was verified.
type Session struct {
	ID    string
	Login time.Time // when the user proved who they are
	// Roles are scopes of the managing half that this login has beside those in the
	// user's record: an identity provider gave them.
	Roles []string
	// ByPassword is a login by the user's password. One that must be changed allows
	// nothing else.
	ByPassword bool
}

// EnabledUser reports whether a user may log in and act.
func EnabledUser(u *store.UserRecord) bool {
	return u.Name != "" && !u.Off() && !u.Service && u.Deleted.IsZero()
}

// Counts reports whether the session is one of the user's that have not been ended by
// a change of the user's record.
func (s Session) Counts(u *store.UserRecord) bool { return s.Login.After(u.SessionsFrom()) }

// SessionActor is the actor of a session of the user.
func SessionActor(user *store.UserRecord, s Session, call Call) Actor {
	if s.ID == "" || !EnabledUser(user) || !s.Counts(user) {
		return Actor{}
	}
	a := newActor(user.Name, call)
	a.session, a.since = s, user.Created
	a.reach.user = user.Name
	a.mustChange = user.MustChange && s.ByPassword
	if a.mustChange {
		return a
	}
	a.roles = RolesOf(user.Scopes) | RolesOf(s.Roles) | Self
	a.reach.setUser(user)
	a.reach.everything = a.roles.Has(Admin)
	return a
}

// LinkActor is the actor who has a one-time link for the user. It may do what the link
// is for, and nothing else.
func LinkActor(user string, call Call) Actor {
	a := newActor(user, call)
	a.byLink = true
	return a
}

// LoginActor is the actor of a person who has just proved to an OpenID provider to be the
// user. Its record may be made or linked by that, and nothing else.
func LoginActor(user string, call Call) Actor { return newActor(user, call) }

// ByLink reports whether the actor has a one-time link.
func (a Actor) ByLink() bool { return a.byLink }

// Session returns the id of the session that the actor presented; "" for a key or a
// command.
func (a Actor) Session() string { return a.session.ID }

// MustChange reports whether the actor has to change its password before anything else.
func (a Actor) MustChange() bool { return a.mustChange }

// LoggedInAt is when the actor of a session proved who it is.
func (a Actor) LoggedInAt() time.Time { return a.session.Login }

// LoggedInWithin reports whether the actor proved who it is within that time. Every
// request of a key does.
func (a Actor) LoggedInWithin(d time.Duration, now time.Time) bool {
	return a.session.ID == "" || now.Sub(a.session.Login) <= d
}
