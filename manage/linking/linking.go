package linking

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"keyward/authz/urlpath"
	"keyward/manage/access"
	"keyward/manage/changes"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
)

// Config is what changes of users go through.
type Config struct {
	registry.Steps
	// Edit is the store's Edit of users. For an actor who has a credential, EditFor looks
	// at it again.
	Edit    func(ctx context.Context, edit func(store.Tx[store.UserRecord]) error) error
	EditFor func(ctx context.Context, a access.Actor, edit func(store.Tx[store.UserRecord]) error) error
	// Put puts what a change makes of a user, if the actor may make it.
	Put func(a access.Actor, tx store.Tx[store.UserRecord], action audit.Action, before, after *store.UserRecord) error
}

// Identities finds the users of identities, and links them.
type Identities struct{ cfg Config }

// New returns Identities.
func New(cfg Config) *Identities { return &Identities{cfg} }

// Why a person is not a user; the operator learns it, and the person that it is so.
var (
	errNoName   = errors.New("there is no user with the identity, and the provider gives no name")
	errNoUser   = errors.New("there is no user of that name, and console.oidc.create_users is off")
	errDisabled = errors.New("the user is disabled, or is a program")
	errPassword = errors.New("the user of that name has a password: an administrator has to link it")
	errAnother  = errors.New("the user of that name has another identity")
	errName     = errors.New("no user can have that name")
)

func notAUser(cause error) error {
	return &fault.Error{Code: fault.Forbidden, Detail: "no user may log in by this identity: ask an administrator", Cause: cause}
}

// UserOf returns the user who logs in by the identity, without the password's hash. It is
// the one that is linked to the identity. If there is none, it is the one that has the
// identity's name, who is linked in the same step: an enabled person without a password
// and without another identity. If there is no user of that name either, create makes
// one. What the provider may change of a person, such as a name or an address, does not
// make it another user later. The error is Forbidden if the
// person is not a user.
func (l *Identities) UserOf(ctx context.Context, call access.Call, id access.Identity, create bool) (store.UserRecord, error) {
	if id.Issuer == "" || id.Subject == "" {
		return store.UserRecord{}, notAUser(errNoName)
	}
	var after store.UserRecord
	action := audit.Action("") // nothing was changed
	err := l.cfg.Edit(ctx, func(tx store.Tx[store.UserRecord]) error {
		action = "" // the Edit may run again
		linked, err := linkedTo(tx, &id)
		if err == nil {
			after = linked
			return mayLogIn(&after)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		var before store.UserRecord
		if before, after, action, err = l.firstLogin(tx, &id, create); err != nil {
			return err
		}
		a := access.LoginActor(after.Name, call)
		if action == audit.UserCreate {
			after.CreatedBy = a.Creator()
		}
		tx.Put(&after, a.Entry(action, after.Name, changes.User(&before, &after)))
		return nil
	})
	if err == nil && action != "" {
		err = l.cfg.Finish(ctx, access.LoginActor(after.Name, call), action, after.Name, after.Seq, nil)
	}
	if err != nil {
		return store.UserRecord{}, fault.Of(err)
	}
	after.Password = ""
	return after, nil
}

func mayLogIn(r *store.UserRecord) error {
	if !access.EnabledUser(r) {
		return notAUser(errDisabled)
	}
	return nil
}

// linkedTo returns the user that has the identity. That is mostly the one of its name.
func linkedTo(tx store.Tx[store.UserRecord], id *access.Identity) (store.UserRecord, error) {
	if id.User != "" {
		r, err := tx.Get(id.User)
		if err == nil && id.Identifies(r.OIDCIssuer, r.OIDCSubject) {
			return r, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return store.UserRecord{}, err
		}
	}
	var found store.UserRecord
	err := tx.Each(func(r *store.UserRecord) error {
		if id.Identifies(r.OIDCIssuer, r.OIDCSubject) {
			found = r.Clone()
		}
		return nil
	})
	if err == nil && found.Name == "" {
		err = store.ErrNotFound
	}
	return found, err
}

// firstLogin returns the record of the user that has the identity's name as it is, and
// as the first login makes it.
func (l *Identities) firstLogin(tx store.Tx[store.UserRecord], id *access.Identity, create bool) (before, after store.UserRecord, action audit.Action, err error) {
	if id.User == "" {
		return before, after, "", notAUser(errNoName)
	}
	now := l.cfg.Now().UTC()
	before, err = tx.Get(id.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		action, err = audit.UserCreate, mayCreate(id.User, create)
		after = store.UserRecord{Name: id.User, Created: now}
	case err == nil:
		action, err = audit.UserUpdate, mayLink(&before)
		after = before.Clone()
	}
	after.OIDCIssuer, after.OIDCSubject, after.At = id.Issuer, id.Subject, now
	return before, after, action, err
}

func mayCreate(name string, create bool) error {
	switch {
	case !create:
		return notAUser(errNoUser)
	case store.CheckUserName(name) != nil || strings.Contains(name, ":") || !isAddressable(name): // Basic ends a name at the colon
		return notAUser(errName)
	}
	return nil
}

// isAddressable reports whether a request about the user would pass the rules for paths.
func isAddressable(name string) bool {
	target := &url.URL{Path: "/api/v1/" + name}
	_, err := urlpath.Parse(target.EscapedPath(), urlpath.Rules{})
	return err == nil && !strings.Contains(name, "/")
}

// mayLink refuses to link a user whom another person may be already. A provider in which
// people choose their names would else give each of them any user.
func mayLink(r *store.UserRecord) error {
	switch {
	case !access.EnabledUser(r):
		return notAUser(errDisabled)
	case r.OIDCSubject != "" || r.OIDCIssuer != "":
		return notAUser(errAnother)
	case r.Password != "":
		return notAUser(errPassword)
	}
	return nil
}
