package access

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/manage/denials"
	"keyward/store"
	"keyward/store/audit"
)

// Actor is who calls the managing half: a key or a session whose credential was verified,
// with what it may do now. The zero Actor may do nothing.
type Actor struct {
	name       string    // the user; for the commands cli:USER@HOST
	since      time.Time // when that user, or the key without one, was made
	key        string    // the id of the key that was presented; "" for a session
	session    Session   // the one that was presented; zero for a key
	mustChange bool      // its password, before anything else
	byLink     bool      // it has a one-time link
	roles      Roles
	reach      reach
	via        audit.Via
	address    string
	requestID  string
	operation  string // of a request with an Idempotency-Key
}

// Call is what the audit log says of a call beside its actor.
type Call struct {
	Via       audit.Via
	Address   netip.Addr // of the client; the zero Addr is not known
	RequestID string
}

// reach is what an actor's own credential may do behind the proxy: what it hands
// out must lie within that.
type reach struct {
	everything bool
	user       string    // whose scopes and paths it has where it has none of its own
	ownsAfter  time.Time // keys of the name made until then were an earlier user's
	ownScopes  bool
	scopes     authz.Scopes
	paths      []urlpath.Set // a path must be in each
	ownPaths   bool
	project    string
	expires    time.Time
	rate       authz.Rate // zero: none of its own
	cidrs      []netip.Prefix
}

// CLI is the actor of a command that works on the store itself. An operator who can
// write the files can do everything anyway; the audit log names the operator as the
// system does.
func CLI(user, host string) Actor {
	return Actor{name: "cli:" + user + "@" + host, roles: roleOf[ScopeAdmin], reach: reach{everything: true}, via: audit.ViaCLI}
}

// KeyActor is the actor of a key, with its user; nil is a key without one. The
// managing scopes of a key need a user, and allow no more than the user has now.
func KeyActor(key *store.KeyRecord, user *store.UserRecord, now time.Time, call Call) Actor {
	switch {
	case key.Ended() || key.Unsupported || key.Paused != nil || now.Before(key.NotBefore) || !key.Expires.IsZero() && !now.Before(key.Expires):
		return Actor{}
	case user != nil && (user.Name != key.User || user.Disabled || user.Unsupported || !user.Deleted.IsZero() || !key.Created.After(user.ValidSince)):
		return Actor{}
	}
	name := key.User
	if name == "" {
		name = key.ID
	}
	a := newActor(name, call)
	a.key, a.since = key.ID, key.Created
	a.reach.user = key.User
	own := key.OwnScopes()
	if user != nil {
		a.since = user.Created
		a.roles = rolesWithin(own, RolesOf(user.Scopes)|Self)
		a.reach.setUser(user)
	}
	a.reach.setKey(key)
	a.reach.everything = a.roles.Has(Admin)
	return a
}

func newActor(name string, call Call) Actor {
	a := Actor{name: name, via: call.Via, requestID: bounded(denials.Redact(call.RequestID))}
	if call.Address.IsValid() {
		a.address = call.Address.String()
	}
	return a
}

// setUser bounds the reach by a user's scopes and paths.
func (r *reach) setUser(user *store.UserRecord) {
	paths, scopes, err := store.CompileAccess(user.Paths, user.Scopes)
	if err != nil {
		paths, scopes = urlpath.Set{}, authz.Scopes{}
	}
	r.scopes, r.ownsAfter = scopes, ownsAfter(user)
	r.paths = append(r.paths, paths)
}

// ownsAfter returns the time until which keys made for the user's name were those of an
// earlier user; zero if there was none.
func ownsAfter(user *store.UserRecord) time.Time {
	if user.ValidSince.Before(user.Created) {
		return user.ValidSince
	}
	return user.Created // all that the name had before has ended
}

// setKey bounds the reach by a key's own settings.
func (r *reach) setKey(key *store.KeyRecord) {
	paths, scopes, err := store.CompileAccess(key.Paths, key.OwnScopes())
	if err != nil {
		paths, scopes = urlpath.Set{}, authz.Scopes{}
	}
	if key.Scopes != nil {
		r.ownScopes, r.scopes = true, scopes
	}
	r.ownPaths = len(key.Paths) > 0
	r.paths = append(r.paths, paths)
	r.project, r.expires, r.cidrs = key.Project, key.Expires, key.CIDRs
	if key.Rate != "" {
		r.rate, _ = authz.ParseRate(key.Rate) // zero allows nothing, and so gives nothing
		if r.rate == (authz.Rate{}) {
			r.rate = authz.Rate{Count: 1, Period: authz.MaxRefill}
		}
	}
}

// anyPath reports whether the reach has no restriction of paths at all.
func (r *reach) anyPath() bool {
	return !slices.ContainsFunc(r.paths, func(s urlpath.Set) bool { return !s.IsAnyPath() })
}

// During returns the actor within an operation: what it changes can be found by that
// id, if the operation is begun again.
func (a Actor) During(operation string) Actor {
	a.operation = operation
	return a
}

// Name returns the user that the actor is, or the key without a user.
func (a Actor) Name() string { return a.name }

// Since returns when the user that the actor is, or the key without a user, was made: a
// user of that name from another time is another actor.
func (a Actor) Since() time.Time { return a.since }

// Creator returns what a new record says of who made it: a user or a key. A command is
// neither; the audit log has its operator.
func (a Actor) Creator() string {
	if a.via == audit.ViaCLI {
		return ""
	}
	return a.name
}

// Key returns the id of the key that the actor presented; "" for a session or a
// command.
func (a Actor) Key() string { return a.key }

// User returns the user that the actor acts as; "" for a command or a key without one.
func (a Actor) User() string { return a.reach.user }

// OwnsAfter returns the time until which keys made for the name of the actor's user were
// those of an earlier user; zero if there was none.
func (a Actor) OwnsAfter() time.Time { return a.reach.ownsAfter }

// Via returns the way by which the actor calls.
func (a Actor) Via() audit.Via { return a.via }

// Address returns the address of the client; "" if it is not known.
func (a Actor) Address() string { return a.address }

// Call returns what the audit log says of the actor's call.
func (a Actor) Call() Call {
	call := Call{Via: a.via, RequestID: a.requestID}
	call.Address, _ = netip.ParseAddr(a.address)
	return call
}

// Operation returns the id of the operation that the call is a part of; "" for none.
func (a Actor) Operation() string { return a.operation }

// Known reports whether the actor is anyone: the zero Actor is not.
func (a Actor) Known() bool { return a.name != "" }

// Has reports whether the actor has one of the roles.
func (a Actor) Has(wanted Roles) bool { return a.roles.Has(wanted) }

// Unbounded reports whether the actor may hand out more than it has.
func (a Actor) Unbounded() bool { return a.reach.everything }

// OfSession returns the actor of the same session as its user is now; nil is a user who
// is not there.
func (a Actor) OfSession(user *store.UserRecord) Actor {
	if user == nil {
		return Actor{}
	}
	return SessionActor(user, a.session, Call{Via: a.via}).WithCallOf(a)
}

// MaySame reports whether both are the same known actor, and may do the same.
func (a Actor) MaySame(other Actor) bool {
	return a.Known() && a.name == other.name && a.key == other.key && a.session.ID == other.session.ID && a.roles == other.roles && reflect.DeepEqual(a.reach, other.reach)
}

// Roles returns the scopes of the managing half that the actor has in force.
func (a Actor) Roles() []string {
	names := []string{}
	for _, scope := range []string{ScopeAdmin, ScopeRead, ScopeKeys, ScopeUsers, ScopeSelf} {
		if roleOf[scope]&^a.roles == 0 {
			names = append(names, scope)
		}
	}
	return names
}

// WithCall returns the actor as the caller of that call.
func (a Actor) WithCall(call Call) Actor {
	return a.WithCallOf(newActor(a.name, call))
}

// WithCallOf returns the actor as the caller of the same call as the other.
func (a Actor) WithCallOf(other Actor) Actor {
	a.via, a.address, a.requestID, a.operation = other.via, other.address, other.requestID, other.operation
	return a
}
