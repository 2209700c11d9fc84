package denials_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/engine"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/manage/denials"
	"keyward/store"
	"keyward/store/filestore"
)

const rules = `
keys: {file: DIR/keys.jsonl}
users: {file: DIR/users.jsonl}
credentials: {basic: true}
log: {decisions: none}
routes:
  - {name: posts, path: /posts, scopes: [posts:write], credentials: [api_key]}
  - {name: account, path: /account}
  - {name: closed, path: /closed, auth: deny}
`

// fixture is an engine with a Recent, and the files that the engine reads.
type fixture struct {
	*engine.Engine
	t      *testing.T
	dir    string
	keys   *recordfile.KeyFile
	users  *recordfile.UserFile
	recent *denials.Recent
	// observed counts what the observer of denials got.
	observed *atomic.Int64
}

// counting is an observer that counts before it hands on.
type counting struct {
	authz.Observer
	n *atomic.Int64
}

func (c counting) Observe(r *authz.Request, d *authz.Decision) {
	c.n.Add(1)
	c.Observer.Observe(r, d)
}

func start(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{
		t: t, dir: dir, recent: denials.New(denials.Config{}), observed: new(atomic.Int64),
		keys:  recordfile.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(dir, "keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})}),
		users: recordfile.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")}, nil),
	}
	f.setUser("alice", records.UserPatch{Scopes: &[]string{"posts:read"}})
	f.create(store.KeyParams{Name: "first"})
	f.configure(rules)
	source := engine.NewSource(filepath.Join(dir, "keyward.yaml"), func() (*config.Config, error) {
		return config.Load(filepath.Join(dir, "keyward.yaml"), os.LookupEnv)
	})
	cfg, err := source.Load()
	if err != nil {
		t.Fatal(err)
	}
	observer := func(configured time.Time) authz.Observer { return counting{f.recent.Observer(configured), f.observed} }
	if f.Engine, err = engine.Start(engine.Options{Config: cfg, Source: source, DenialObserver: observer}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func (f *fixture) configure(text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "keyward.yaml"), []byte(strings.ReplaceAll(text, "DIR", f.dir)), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if f.Engine != nil {
		if err := f.Reload(); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) create(p store.KeyParams) (string, authz.Secret) {
	f.t.Helper()
	p.Name, p.Prefix = "test", "kw_"
	record, secret, err := f.keys.Create(context.Background(), p)
	if err != nil {
		f.t.Fatal(err)
	}
	return record.ID, secret
}

func (f *fixture) setUser(name string, patch records.UserPatch) {
	f.t.Helper()
	if _, err := f.users.Set(context.Background(), name, "", patch); err != nil {
		f.t.Fatal(err)
	}
}

// check returns the decision for a POST of the target.
func (f *fixture) check(target, authorization string) authz.Decision {
	r := authz.Request{Method: "POST", Target: target, Scheme: "http", Host: "api.example.com", Peer: "192.0.2.1"}
	if authorization != "" {
		r.Headers = []authz.Header{{Name: "authorization", Value: authorization}}
	}
	return *f.Current().Checker().Check(f.t.Context(), &r)
}

// denied waits until the request is denied for the reason, and returns what is
// kept of the denial.
func (f *fixture) denied(target, authorization string, reason authz.Reason) *denials.Denial {
	f.t.Helper()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		d := f.check(target, authorization)
		if d.Reason == reason {
			n := f.recent.Get(d.ID)
			if n == nil || n.Reason != reason.String() {
				f.t.Fatalf("%s: kept: %+v", reason, n)
			}
			return n
		}
		if time.Now().After(until) {
			f.t.Fatalf("%s is answered %s, want %s", target, d.Reason, reason)
		}
	}
}

// now waits until the denied request would be decided like that now.
func (f *fixture) now(n *denials.Denial, reason authz.Reason) *denials.Now {
	f.t.Helper()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		now, err := n.Recheck(f.t.Context(), f.Current())
		if err != nil {
			f.t.Fatal(err)
		}
		if now.Reason == reason.String() {
			return now
		}
		if time.Now().After(until) {
			f.t.Fatalf("%s would be %s now, want %s: %+v", n.Path, now.Reason, reason, now.Steps)
		}
	}
}

// TestKeyThatLacksAScope: the denial of then, and what changes of the key, the user
// and the routes make of it.
func TestKeyThatLacksAScope(t *testing.T) {
	f := start(t)
	id, secret := f.create(store.KeyParams{User: "alice"})
	n := f.denied("/posts?draft=1", "Bearer "+secret.Reveal(), authz.InsufficientScope)
	if n.KeyID != id || n.Subject != "alice" || n.Path != "/posts" || n.Route != "posts" || n.Status != 403 || n.Configured.IsZero() {
		t.Errorf("%+v", n)
	}
	now := f.now(n, authz.InsufficientScope)
	if now.Decision != "deny" || now.KeyID != id || now.Needs == nil || !slices.Equal(now.Needs.Scopes, []string{"posts:write"}) ||
		!slices.Equal(now.Needs.Credentials, []string{"api_key"}) || now.Needs.Auth != "required" || !slices.Contains(now.Assumes, "the key is presented by its current secret") {
		t.Errorf("%+v, needs %+v", now, now.Needs)
	}
	steps := ""
	for _, s := range now.Steps {
		steps += s.Name + " "
	}
	if steps != "path route credential policy " {
		t.Errorf("steps: %s", steps)
	}

	f.setUser("alice", records.UserPatch{Scopes: &[]string{"posts:read", "posts:write"}})
	if now = f.now(n, authz.OK); now.Decision != "allow" || now.Needs != nil {
		t.Errorf("%+v", now)
	}
	f.setUser("alice", records.UserPatch{Paths: &[]string{"/account"}})
	f.now(n, authz.PathNotAllowed)
	disabled := true
	f.setUser("alice", records.UserPatch{Disabled: &disabled})
	f.now(n, authz.DisabledUser)
	disabled = false
	f.setUser("alice", records.UserPatch{Disabled: &disabled, Paths: &[]string{"/"}})
	f.now(n, authz.OK)
	f.configure(strings.Replace(rules, "credentials: [api_key]", "credentials: [jwt]", 1))
	if now = f.now(n, authz.WrongKind); !now.Configured.After(n.Configured) {
		t.Errorf("configured at %v, then %v", n.Configured, now.Configured)
	}
	f.configure(strings.Replace(rules, "name: posts, path: /posts", "name: posts, path: /posts, project: blog", 1))
	f.now(n, authz.WrongProject)
	f.configure(rules + "require_https: true\n")
	f.now(n, authz.HTTPSRequired)
	f.configure(strings.Replace(rules, "scopes: [posts:write], credentials: [api_key]", "auth: deny", 1))
	if now = f.now(n, authz.RouteDenied); now.Needs.Auth != "deny" {
		t.Errorf("%+v", now.Needs)
	}
	f.configure(strings.Replace(rules, "scopes: [posts:write], credentials: [api_key]", "auth: none", 1))
	f.now(n, authz.Anonymous)
	f.configure(rules)
	if _, err := f.keys.Revoke(context.Background(), id, store.AnyVersion); err != nil {
		t.Fatal(err)
	}
	f.now(n, authz.RevokedKey)
}

// TestRechecksLeaveNoTrace: no observer gets them, and no usage counts them.
func TestRechecksLeaveNoTrace(t *testing.T) {
	f := start(t)
	id, secret := f.create(store.KeyParams{})
	n := f.denied("/posts", "Bearer "+secret.Reveal(), authz.InsufficientScope)
	before, err := f.KeyUsage(id)
	if err != nil || before == nil {
		t.Fatal(before, err)
	}
	observed := f.observed.Load()
	f.now(n, authz.InsufficientScope)
	if after, err := f.KeyUsage(id); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("the key's usage changed: %v, then %v %v", before, after, err)
	}
	if f.observed.Load() != observed {
		t.Error("the observers got a decision")
	}
}

// TestAllowsAreNotObserved: the ring gets denials only.
func TestAllowsAreNotObserved(t *testing.T) {
	f := start(t)
	_, secret := f.create(store.KeyParams{})
	f.denied("/posts", "Bearer "+secret.Reveal(), authz.InsufficientScope)
	observed := f.observed.Load()
	if d := f.check("/account", "Bearer "+secret.Reveal()); d.Reason != authz.OK {
		t.Fatal(d.Reason)
	}
	if f.observed.Load() != observed {
		t.Error("an allow was observed")
	}
}

// TestRotatedKey: a previous secret ends with its grace, the current one does not.
func TestRotatedKey(t *testing.T) {
	f := start(t)
	id, old := f.create(store.KeyParams{})
	_, fresh, err := f.keys.Rotate(context.Background(), id, store.AnyVersion, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	current := f.denied("/posts", "Bearer "+fresh.Reveal(), authz.InsufficientScope)
	previous := f.denied("/posts", "Bearer "+old.Reveal(), authz.InsufficientScope)
	if current.PreviousSecret || !previous.PreviousSecret {
		t.Errorf("%+v\n%+v", current, previous)
	}
	f.now(previous, authz.InsufficientScope)
	f.now(previous, authz.RevokedKey)
	f.now(current, authz.InsufficientScope)
	f.now(f.denied("/posts", "Bearer "+old.Reveal(), authz.RevokedKey), authz.RevokedKey)
	if _, err := f.keys.Delete(context.Background(), id, store.AnyVersion); err != nil {
		t.Fatal(err)
	}
	f.now(current, authz.RevokedKey)
}

// TestStrangers: without a principal the answer says what the request needs.
func TestStrangers(t *testing.T) {
	f := start(t)
	_, secret := f.create(store.KeyParams{})
	f.denied("/posts", "Bearer "+secret.Reveal(), authz.InsufficientScope)
	unknown := secret.Reveal()[:len(secret.Reveal())-1] + "!"
	for _, c := range []struct {
		what, target, authorization string
		then, now                   authz.Reason
		open                        authz.Reason // with posts open to all
	}{
		{"without a credential", "/posts", "", authz.NoCredential, authz.NoCredential, authz.Anonymous},
		{"by junk", "/posts", "Bearer junk", authz.InvalidToken, authz.InvalidToken, authz.Anonymous},
		{"by a malformed credential", "/posts", "Bearer " + unknown, authz.MalformedCredential, authz.MalformedCredential, authz.Anonymous},
		{"by a wrong password", "/posts", "Basic YWxpY2U6cGFzc3dvcmQ=", authz.WrongPassword, authz.WrongPassword, authz.Anonymous},
		{"with an ambiguous path", "/posts/../x", "Bearer " + secret.Reveal(), authz.AmbiguousPath, authz.AmbiguousPath, authz.AmbiguousPath},
		{"of a closed route", "/closed", "Bearer " + secret.Reveal(), authz.RouteDenied, authz.RouteDenied, authz.RouteDenied},
	} {
		f.configure(rules)
		n := f.denied(c.target, c.authorization, c.then)
		now := f.now(n, c.now)
		if c.target == "/posts" && (now.Needs == nil || !slices.Equal(now.Needs.Scopes, []string{"posts:write"})) {
			t.Errorf("%s: needs %+v", c.what, now.Needs)
		}
		if n.Subject != "" || n.KeyID != "" {
			t.Errorf("%s: %+v", c.what, n)
		}
		f.configure(strings.Replace(rules, "scopes: [posts:write], credentials: [api_key]", "auth: none", 1))
		f.now(n, c.open)
	}
	// Without a credential an optional one is not needed, but a wrong one is refused.
	f.configure(rules)
	none, junk := f.denied("/posts", "", authz.NoCredential), f.denied("/posts", "Bearer junk", authz.InvalidToken)
	f.configure(strings.Replace(rules, "scopes: [posts:write], credentials: [api_key]", "auth: optional", 1))
	f.now(none, authz.Anonymous)
	f.now(junk, authz.InvalidToken)
	// Nothing is known of a credential that no check looked at.
	f.configure(rules)
	n := f.denied("/closed", "Bearer "+secret.Reveal(), authz.RouteDenied)
	f.configure(strings.Replace(rules, "path: /closed, auth: deny", "path: /closed", 1))
	if now := f.now(n, authz.Unavailable); now.Decision != "error" {
		t.Errorf("%+v", now)
	}
}

// TestPasswords: a user's request by the record of the user.
func TestPasswords(t *testing.T) {
	f := start(t)
	password := authz.NewSecret("a long password")
	f.setUser("bob", records.UserPatch{Password: &password})
	n := f.denied("/posts", "Basic Ym9iOmEgbG9uZyBwYXNzd29yZA==", authz.WrongKind)
	if n.Subject != "bob" || n.AuthMethod != "basic" {
		t.Errorf("%+v", n)
	}
	f.now(n, authz.WrongKind)
	f.configure(strings.Replace(rules, "credentials: [api_key]", "credentials: [basic]", 1))
	f.now(n, authz.InsufficientScope)
	f.setUser("bob", records.UserPatch{Scopes: &[]string{"posts:write"}})
	f.now(n, authz.OK)
	f.configure(strings.Replace(rules, "basic: true", "basic: false", 1))
	f.now(n, authz.UnsupportedCredential)
	f.configure(rules)
	if err := f.users.Delete(context.Background(), "bob", store.AnyVersion, time.Time{}); err != nil {
		t.Fatal(err)
	}
	f.now(n, authz.DisabledUser)
}

// TestPreflight: a route that lets preflights pass lets this one pass too.
func TestPreflight(t *testing.T) {
	f := start(t)
	r := authz.Request{Method: "OPTIONS", Target: "/posts", Peer: "192.0.2.1", Headers: []authz.Header{
		{Name: "origin", Value: "https://example.com"}, {Name: "access-control-request-method", Value: "POST"},
	}}
	n := f.recent.Get(f.Current().Checker().Check(t.Context(), &r).ID)
	f.now(n, authz.NoCredential)
	f.configure(strings.Replace(rules, "scopes: [posts:write]", "preflight: true, scopes: [posts:write]", 1))
	f.now(n, authz.Anonymous)
}

// TestNotRepeatable: of these too little is known.
func TestNotRepeatable(t *testing.T) {
	f := start(t)
	checker := f.Current().Checker()
	request := func(target string) *authz.Request {
		return &authz.Request{Method: "GET", Target: target, Peer: "192.0.2.1"}
	}
	for what, id := range map[string]string{
		"not read to its end":           checker.Refuse(request(""), authz.RequestTooLarge, nil).ID,
		"a header that names a user":    checker.Refuse(request("/posts"), authz.AmbiguousHeader, nil).ID,
		"overloaded while it was read":  checker.Refuse(request(""), authz.Overloaded, nil).ID,
		"a question about a credential": checker.Authenticate(t.Context(), request("/v1/auth/verify")).ID,
		"a long path":                   checker.Check(t.Context(), request("/posts/"+strings.Repeat("x", 2000))).ID,
		"a long method":                 checker.Check(t.Context(), &authz.Request{Method: strings.Repeat("X", 33), Target: "/closed"}).ID,
		"a long host":                   checker.Check(t.Context(), &authz.Request{Method: "GET", Target: "/closed", Host: strings.Repeat("x", 256)}).ID,
	} {
		n := f.recent.Get(id)
		if n == nil {
			t.Errorf("%s: not kept", what)
			continue
		}
		if now, err := n.Recheck(t.Context(), f.Current()); !errors.Is(err, denials.ErrNotRepeatable) {
			t.Errorf("%s: %+v, %v", what, now, err)
		}
	}
}

// TestIDs: each denial has an id of its own.
func TestIDs(t *testing.T) {
	f := start(t)
	seen := map[string]bool{}
	for range 5000 {
		id := f.check("/closed", "").ID
		if len(id) < 26 || seen[id] {
			t.Fatalf("%s came twice, or is short", id)
		}
		seen[id] = true
	}
}
