package manage

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

const idpIssuer = "https://idp.example.com"

// alice is the person whom the provider calls so.
var alice = access.Identity{Issuer: idpIssuer, Subject: "1", User: "alice"}

var consoleCall = access.Call{Via: audit.ViaConsole, RequestID: "r1"}

// lastEntry is the latest in the audit log; the zero Entry if it is empty.
func (f *fixture) lastEntry() (last audit.Entry) {
	f.Helper()
	for _, e := range f.entries() {
		if e.Seq > last.Seq {
			last = e
		}
	}
	return last
}

// TestUserOf is the policy: which user a person is, and whom the first login links or
// makes.
func TestUserOf(t *testing.T) {
	password := authz.NewSecret("correct horse")
	make := func(in UserInput) func(*fixture) {
		return func(f *fixture) {
			_, err := f.CreateUser(f.ctx(), f.admin, in)
			f.wantCode("user", err, "")
		}
	}
	linkedAs := func(name, issuer, subject string) func(*fixture) {
		return func(f *fixture) {
			_, err := f.LinkUser(f.ctx(), f.admin, name, store.AnyVersion, issuer, subject)
			f.wantCode("link", err, "")
		}
	}
	person := func(change func(*access.Identity)) access.Identity {
		id := alice
		change(&id)
		return id
	}
	alone := UserInput{Name: "alice", Scopes: []string{"read"}}
	for name, c := range map[string]struct {
		before []func(*fixture)
		id     access.Identity
		create bool
		user   string       // that logs in; "" for none
		made   audit.Action // in the log; "" for nothing
		why    string
	}{
		"an unknown name":                 {nil, alice, false, "", "", "create_users is off"},
		"an unknown name, made":           {nil, alice, true, "alice", audit.UserCreate, ""},
		"a user without password":         {[]func(*fixture){make(alone)}, alice, false, "alice", audit.UserUpdate, ""},
		"one with a password":             {[]func(*fixture){make(UserInput{Name: "alice", Password: &password})}, alice, true, "", "", "has a password"},
		"one with a password, linked":     {[]func(*fixture){make(UserInput{Name: "alice", Password: &password}), linkedAs("alice", idpIssuer, "1")}, alice, false, "alice", "", ""},
		"a program":                       {[]func(*fixture){make(UserInput{Name: "alice", Service: true})}, alice, true, "", "", "is a program"},
		"a disabled user":                 {[]func(*fixture){make(UserInput{Name: "alice", Disabled: true})}, alice, true, "", "", "is disabled"},
		"a disabled user, linked":         {[]func(*fixture){make(UserInput{Name: "alice", Disabled: true}), linkedAs("alice", idpIssuer, "1")}, alice, true, "", "", "is disabled"},
		"a disabled user of another name": {[]func(*fixture){make(UserInput{Name: "bob", Disabled: true}), linkedAs("bob", idpIssuer, "1")}, alice, true, "", "", "is disabled"},
		"the same again":                  {[]func(*fixture){make(alone), linkedAs("alice", idpIssuer, "1")}, alice, false, "alice", "", ""},
		"another sub of the name":         {[]func(*fixture){make(alone), linkedAs("alice", idpIssuer, "2")}, alice, true, "", "", "has another identity"},
		"another issuer of the name":      {[]func(*fixture){make(alone), linkedAs("alice", "https://other.example.com", "1")}, alice, true, "", "", "has another identity"},
		"linked to another name":          {[]func(*fixture){make(UserInput{Name: "bob"}), linkedAs("bob", idpIssuer, "1"), make(alone)}, alice, true, "bob", "", ""},
		"the name has changed":            {[]func(*fixture){make(alone), linkedAs("alice", idpIssuer, "1")}, person(func(id *access.Identity) { id.User = "alice2" }), true, "alice", "", ""},
		"the name is gone":                {[]func(*fixture){make(alone), linkedAs("alice", idpIssuer, "1")}, person(func(id *access.Identity) { id.User = "" }), true, "alice", "", ""},
		"no name":                         {nil, person(func(id *access.Identity) { id.User = "" }), true, "", "", "gives no name"},
		"no sub":                          {[]func(*fixture){make(alone)}, person(func(id *access.Identity) { id.Subject = "" }), true, "", "", "gives no name"},
		"no issuer":                       {[]func(*fixture){make(alone)}, person(func(id *access.Identity) { id.Issuer = "" }), true, "", "", "gives no name"},
		"the name of a key":               {nil, person(func(id *access.Identity) { id.User = "k_0123456789ab" }), true, "", "", "can have that name"},
		"the name of a client":            {nil, person(func(id *access.Identity) { id.User = "c_0123456789ab" }), true, "", "", "can have that name"},
		"a name with a colon":             {nil, person(func(id *access.Identity) { id.User = "a:b" }), true, "", "", "can have that name"},
		"a name that looks as another":    {nil, person(func(id *access.Identity) { id.User = "ali\u200bce" }), true, "", "", "can have that name"},
		"a name that is a path":           {nil, person(func(id *access.Identity) { id.User = "a/b" }), true, "", "", "can have that name"},
		"a name that is above":            {nil, person(func(id *access.Identity) { id.User = ".." }), true, "", "", "can have that name"},
	} {
		f := newFixture(t)
		for _, change := range c.before {
			change(f)
		}
		before := f.lastEntry()
		r, err := f.UserOf(f.ctx(), consoleCall, c.id, c.create)
		if c.why != "" {
			f.wantCode(name, err, fault.Forbidden)
			if cause := errors.Unwrap(err); cause == nil || !strings.Contains(cause.Error(), c.why) || strings.Contains(fault.AsError(err).Detail, cause.Error()) {
				t.Errorf("%s: %v, cause %v", name, err, cause)
			}
		} else {
			f.wantCode(name, err, "")
		}
		made := audit.Action("")
		if e := f.lastEntry(); e.Seq > before.Seq {
			made = e.Action
		}
		if r.Name != c.user || r.Password != "" || made != c.made {
			t.Errorf("%s: %+v, %s in the log", name, r, made)
		}
		if c.user == "" {
			continue
		}
		if now, err := f.Users.Get(f.ctx(), c.user); err != nil || now.OIDCIssuer != c.id.Issuer || now.OIDCSubject != c.id.Subject || now.Seq != r.Seq {
			t.Errorf("%s: %+v, %v", name, now, err)
		}
	}
}

// TestFirstLogin: what the first login changes, and what the log says of it.
func TestFirstLogin(t *testing.T) {
	f := newFixture(t)
	r, err := f.UserOf(f.ctx(), consoleCall, alice, true)
	f.wantCode("a new user", err, "")
	want := store.UserRecord{Name: "alice", OIDCIssuer: idpIssuer, OIDCSubject: "1", Created: f.now(), CreatedBy: "alice", At: f.now(), Seq: r.Seq}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("made %+v", r)
	}
	f.user("bob", []string{"read", "keyward:read"}, "/posts")
	bob := access.Identity{Issuer: idpIssuer, Subject: "2", User: "bob", Roles: []string{"keyward:admin"}}
	r, err = f.UserOf(f.ctx(), consoleCall, bob, false)
	f.wantCode("a link", err, "")
	if !reflect.DeepEqual(r.Scopes, []string{"read", "keyward:read"}) || !reflect.DeepEqual(r.Paths, []string{"/posts"}) {
		t.Errorf("linked %+v", r)
	}
	e := f.lastEntry()
	changes := []audit.Change{{Field: "oidc_issuer", To: json.RawMessage(`"` + idpIssuer + `"`)}, {Field: "oidc_subject", To: json.RawMessage(`"2"`)}}
	if e.Actor != "bob" || e.Record != "bob" || e.Via != audit.ViaConsole || e.RequestID != "r1" || e.Outcome != audit.Done || !reflect.DeepEqual(e.Changes, changes) {
		t.Errorf("entry %+v", e)
	}
	// A deleted user is another one.
	f.wantCode("delete", f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "bob"}), "")
	f.pass(time.Minute)
	_, err = f.UserOf(f.ctx(), consoleCall, bob, false)
	f.wantCode("a deleted user", err, fault.Forbidden)
	r, err = f.UserOf(f.ctx(), consoleCall, bob, true)
	f.wantCode("the next user of the name", err, "")
	if len(r.Scopes) != 0 || r.ValidSince.IsZero() {
		t.Errorf("the next user %+v", r)
	}
}

// TestFirstLoginsAtOnce: of the people whom the provider gives one name one is linked.
func TestFirstLoginsAtOnce(t *testing.T) {
	f := newFixture(t)
	f.user("alice", nil)
	var mu sync.Mutex
	var linked []string
	var all sync.WaitGroup
	for _, subject := range []string{"1", "2", "3", "4"} {
		all.Go(func() {
			r, err := f.UserOf(context.Background(), consoleCall, access.Identity{Issuer: idpIssuer, Subject: subject, User: "alice"}, true)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				linked = append(linked, r.OIDCSubject)
			} else {
				f.wantCode("another", err, fault.Forbidden)
			}
		})
	}
	all.Wait()
	if r, err := f.Users.Get(f.ctx(), "alice"); err != nil || !reflect.DeepEqual(linked, []string{r.OIDCSubject}) {
		t.Errorf("%q, %+v, %v", linked, r, err)
	}
}

// TestLinkUser is the policy: who links a user to which identity.
func TestLinkUser(t *testing.T) {
	f := newFixture(t)
	f.user("alice", []string{"read"})
	f.user("bob", nil)
	f.user("root", []string{"keyward:admin"})
	f.user("helper", []string{"keyward:users", "keyward:keys", "keyward:read"})
	_, err := f.CreateUser(f.ctx(), f.admin, UserInput{Name: "program", Service: true})
	f.wantCode("a program", err, "")
	link := func(a access.Actor, name, issuer, subject string) error {
		_, err := f.LinkUser(f.ctx(), a, name, store.AnyVersion, issuer, subject)
		return err
	}
	root := f.bySession("root")
	f.wantCode("the zero actor", link(access.Actor{}, "alice", idpIssuer, "1"), fault.Forbidden)
	f.wantCode("a helper", link(f.bySession("helper"), "alice", idpIssuer, "1"), fault.Forbidden)
	f.wantCode("the user", link(f.bySession("alice"), "alice", idpIssuer, "1"), fault.Forbidden)
	f.wantCode("a login", link(access.LoginActor("alice", consoleCall), "alice", idpIssuer, "1"), fault.Forbidden)
	f.wantCode("a program", link(root, "program", idpIssuer, "1"), fault.Invalid)
	f.wantCode("an unknown user", link(root, "carol", idpIssuer, "1"), fault.NotFound)
	f.wantCode("no issuer", link(root, "alice", "", "1"), fault.Invalid)
	f.wantCode("a long subject", link(root, "alice", idpIssuer, strings.Repeat("a", 256)), fault.Invalid)
	f.wantCode("two lines", link(root, "alice", idpIssuer, "a\nb"), fault.Invalid)
	f.wantCode("an administrator", link(root, "alice", idpIssuer, "1"), "")
	if r, err := f.Users.Get(f.ctx(), "alice"); err != nil || r.OIDCSubject != "1" || r.SessionsSince.IsZero() || r.Gen != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	f.wantCode("the same again", link(root, "alice", idpIssuer, "1"), "")
	f.wantCode("another user's", link(root, "bob", idpIssuer, "1"), fault.Conflict)
	f.wantCode("of another issuer", link(root, "bob", "https://other.example.com", "1"), "")
	_, err = f.LinkUser(f.ctx(), root, "alice", `"0"`, idpIssuer, "9")
	f.wantCode("a version that has passed", err, fault.Changed)
	f.wantCode("none", link(root, "alice", idpIssuer, ""), "")
	if r, err := f.Users.Get(f.ctx(), "alice"); err != nil || r.OIDCSubject != "" || r.OIDCIssuer != "" {
		t.Errorf("%+v, %v", r, err)
	}
	f.pass(ReauthenticateAfter + time.Second)
	f.wantCode("a session that is old", link(root, "alice", idpIssuer, "1"), fault.Reauthenticate)
	f.wantCode("a link, then a program", link(f.admin, "alice", idpIssuer, "1"), "")
	yes := true
	_, err = f.UpdateUser(f.ctx(), f.admin, UserRef{Name: "alice"}, UserPatch{Service: &yes})
	f.wantCode("a linked user becomes a program", err, fault.Invalid)
}

// TestRolesOfALogin: what a provider's role gives a session is not the user's: not a
// key's, and not the last administrator's.
func TestRolesOfALogin(t *testing.T) {
	f := newFixture(t)
	f.user("root", []string{"keyward:admin"})
	_, err := f.UserOf(f.ctx(), consoleCall, alice, true)
	f.wantCode("login", err, "")
	byRole := f.bySession("alice", "keyward:admin")
	if !byRole.Has(access.Admin) {
		t.Fatal("the role gives nothing")
	}
	for scope, want := range map[string]bool{"keyward:admin": false, "keyward:read": false, "keyward:self": true} {
		key, _, err := f.CreateKey(f.ctx(), byRole, store.KeyParams{Name: "a key", User: "alice", Scopes: scopes(scope)})
		f.wantCode("a key with "+scope, err, "")
		if has := len(f.actorOf(key).Roles()) > 0; has != want {
			t.Errorf("a key with %s has %q", scope, f.actorOf(key).Roles())
		}
	}
	yes := true
	_, err = f.UpdateUser(f.ctx(), byRole, UserRef{Name: "root"}, UserPatch{Disabled: &yes})
	f.wantCode("the last administrator on record", err, fault.Conflict)
	if r, err := f.Users.Get(f.ctx(), "alice"); err != nil || len(r.Scopes) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
