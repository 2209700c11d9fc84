package oauth

import (
	"context"
	"fmt"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// client is a new confidential client.
func (f *fixture) client(name string, scopes ...string) *store.Client {
	f.Helper()
	r, _, err := f.Records.CreateClient(f.Context(), admin, registry.ClientInput{
		Name: name, RedirectURIs: []string{"https://shop.example.com/cb"}, Scopes: scopes, Grants: []oauth.Grant{oauth.AuthorizationCode, oauth.RefreshToken},
	})
	f.want("a client", err, "")
	return &r
}

// session is a new session of a user.
func (f *fixture) session(user string) access.Actor {
	f.Helper()
	cookie, err := f.Accounts.Login(f.Context(), call, user, authz.NewSecret(testPassword), authz.Secret{})
	f.want("a session", err, "")
	actor, err := f.Accounts.Actor(f.Context(), cookie, call)
	f.want("an actor", err, "")
	if actor.User() != user {
		f.Fatalf("the session is that of %q", actor.User())
	}
	return actor
}

func (f *fixture) record(name string) *store.UserRecord {
	f.Helper()
	r, err := f.Records.Users.Get(f.Context(), name)
	f.want("a user", err, "")
	return &r
}

// code is a code that a user has allowed a client.
func (f *fixture) code(user string, client *store.Client, scopes ...string) authz.Secret {
	f.Helper()
	code, err := f.Authorize(f.Context(), call, Authorization{User: f.record(user), Client: client, Scopes: scopes, AuthTime: f.now()})
	f.want("a code", err, "")
	return code
}

// redeem is the first tokens of a code.
func (f *fixture) redeem(user string, client *store.Client, scopes ...string) Issuance {
	f.Helper()
	issued, err := f.Redeem(f.Context(), call, f.code(user, client, scopes...), client)
	f.want("redeem", err, "")
	return issued
}

// listed are the applications of an actor, as a text.
func (f *fixture) listed(a access.Actor) string {
	f.Helper()
	all, err := f.Applications(f.Context(), a)
	f.want("applications", err, "")
	text := ""
	for _, one := range all {
		text += fmt.Sprintf("%s %v %d+%d;", one.Name, one.Scopes, one.Since.Sub(start)/time.Minute, max(one.Until.Sub(one.Since), 0)/time.Minute)
	}
	return text
}

var start = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// TestApplications: those that have a consent, tokens or both, of this user, and not logins.
func TestApplications(t *testing.T) {
	f := newFixture(t)
	f.user("bob", "read")
	shop, other, app := f.client("Shop", "read", "write"), f.client("Other", "read"), f.client("App", "read")
	f.login()
	alice, bob := f.session("alice"), f.session("bob")
	if got := f.listed(alice); got != "" {
		t.Errorf("none yet: %s", got)
	}
	f.pass(time.Minute)
	f.redeem("alice", shop, "read")
	f.want("a consent", f.Consent(t.Context(), bob, app, []string{"read"}), "")
	f.pass(time.Minute)
	f.want("a consent", f.Consent(t.Context(), alice, shop, []string{"write"}), "")
	f.want("a consent", f.Consent(t.Context(), alice, other, []string{"read"}), "")
	f.redeem("alice", shop, "read", "write")
	if got := f.listed(alice); got != "Other [read] 2+0;Shop [write read] 1+43201;" {
		t.Errorf("of alice: %s", got)
	}
	if got := f.listed(bob); got != "App [read] 1+0;" {
		t.Errorf("of bob: %s", got)
	}
	f.want("a client is deleted", f.Records.DeleteClient(t.Context(), admin, registry.ClientRef{ID: other.ID, IfMatch: store.AnyVersion}), "")
	if got := f.listed(alice); got != "Shop [write read] 1+43201;" {
		t.Errorf("after a client is deleted: %s", got)
	}
}

// TestWithdraw: what a user withdraws ends the consent and all tokens of that client, and none
// of another client, another user, or a login.
func TestWithdraw(t *testing.T) {
	f := newFixture(t)
	f.user("bob", "read")
	shop, other := f.client("Shop", "read"), f.client("Other", "read")
	alice := f.session("alice")
	f.pass(time.Minute)
	for _, client := range []*store.Client{shop, other} {
		f.want("a consent", f.Consent(t.Context(), alice, client, []string{"read"}), "")
	}
	login, unused := f.login(), f.code("alice", shop, "read")
	first, second, others, bobs := f.redeem("alice", shop, "read"), f.redeem("alice", shop, "read"), f.redeem("alice", other, "read"), f.redeem("bob", shop, "read")
	f.want("withdraw", f.Withdraw(t.Context(), alice, shop.ID), "")
	revoked := map[string]bool{}
	for _, r := range f.revoked() {
		revoked[r.SessionID] = true
	}
	if len(revoked) != 3 || !revoked[first.Grant.ID] || !revoked[second.Grant.ID] {
		t.Errorf("revoked %v", revoked)
	}
	_, err := f.Redeem(t.Context(), call, unused, shop)
	f.want("a code that was not used", err, fault.NotFound)
	for what, c := range map[string]struct {
		token  authz.Secret
		client *store.Client
		code   fault.Code
	}{
		"the first": {first.Refresh, shop, fault.NotFound}, "the second": {second.Refresh, shop, fault.NotFound}, "another client's": {others.Refresh, other, ""}, "bob's": {bobs.Refresh, shop, ""},
		"a login's": {login.Refresh, &store.Client{ID: oauth.LoginClient}, ""},
	} {
		_, err := f.RefreshFor(t.Context(), call, c.token, c.client)
		f.want(what, err, c.code)
	}
	for client, want := range map[*store.Client]bool{shop: false, other: true} {
		if got, err := f.Consented(t.Context(), f.record("alice"), client, []string{"read"}); err != nil || got != want {
			t.Errorf("%s: consented %v, %v", client.Name, got, err)
		}
	}
	f.want("again", f.Withdraw(t.Context(), alice, shop.ID), "")
}

// meanwhile is an audit log before whose next change something else happens.
type meanwhile struct {
	store.AuditLog
	before func()
}

// Change implements store.AuditLog.
func (m meanwhile) Change(ctx context.Context, e *audit.Entry, change func(seq int64) error) error {
	m.before()
	return m.AuditLog.Change(ctx, e, change)
}

// TestWithdrawnMeanwhile: a code of a request that found the consent right before it was
// withdrawn gets nothing.
func TestWithdrawnMeanwhile(t *testing.T) {
	f := newFixture(t)
	shop, alice := f.client("Shop", "read"), f.session("alice")
	f.pass(time.Minute)
	f.want("a consent", f.Consent(t.Context(), alice, shop, []string{"read"}), "")
	log := f.Records.Audit
	var code authz.Secret
	f.Records.Audit = meanwhile{log, func() { code = f.code("alice", shop, "read") }}
	f.want("withdraw", f.Withdraw(t.Context(), alice, shop.ID), "")
	f.Records.Audit = log
	_, err := f.Redeem(t.Context(), call, code, shop)
	f.want("a code of meanwhile", err, fault.NotFound)
}

// TestRemembered: a consent is for its scopes and its user. A user of the same name who was
// made after the first was deleted has given none, and has none of the applications.
func TestRemembered(t *testing.T) {
	f := newFixture(t)
	shop := f.client("Shop", "read", "write")
	alice := f.session("alice")
	asked := func(scopes ...string) bool {
		t.Helper()
		consented, err := f.Consented(t.Context(), f.record("alice"), shop, scopes)
		f.want("consented", err, "")
		return !consented
	}
	if !asked("read") {
		t.Error("not asked at first")
	}
	f.pass(time.Minute)
	f.want("a consent", f.Consent(t.Context(), alice, shop, []string{"read"}), "")
	if asked("read") || asked() || !asked("read", "write") || !asked("write") {
		t.Error("after a consent for read")
	}
	if since, err := f.ConsentedSince(t.Context(), f.record("alice"), shop); err != nil || !since.Equal(f.now()) {
		t.Errorf("since %v, %v", since, err)
	}
	issued, code := f.redeem("alice", shop, "read"), f.code("alice", shop, "read")
	f.pass(time.Minute)
	f.want("delete", f.Records.DeleteUser(t.Context(), admin, manage.UserRef{Name: "alice"}), "")
	f.pass(time.Minute)
	f.user("alice", "read", "write")
	if !asked("read") {
		t.Error("a consent of the user before counts")
	}
	if since, err := f.ConsentedSince(t.Context(), f.record("alice"), shop); err != nil || !since.IsZero() {
		t.Errorf("since %v, %v", since, err)
	}
	_, err := f.Redeem(t.Context(), call, code, shop)
	f.want("a code of the user before", err, fault.NotFound)
	_, err = f.RefreshFor(t.Context(), call, issued.Refresh, shop)
	f.want("a refresh token of the user before", err, fault.NotFound)
	f.pass(time.Minute)
	if got := f.listed(f.session("alice")); got != "" {
		t.Errorf("the user has the applications of the one before: %s", got)
	}
}

// TestEndOfAllThatAUserHad: it ends the consents, too.
func TestEndOfAllThatAUserHad(t *testing.T) {
	f := newFixture(t)
	shop, alice := f.client("Shop", "read"), f.session("alice")
	f.pass(time.Minute)
	f.want("a consent", f.Consent(t.Context(), alice, shop, []string{"read"}), "")
	f.redeem("alice", shop, "read")
	f.pass(time.Minute)
	_, err := f.Records.RevokeKeys(t.Context(), admin, manage.Selection{User: "alice"})
	f.want("the end", err, "")
	if consented, err := f.Consented(t.Context(), f.record("alice"), shop, []string{"read"}); err != nil || consented {
		t.Errorf("consented %v, %v", consented, err)
	}
	f.pass(time.Minute)
	if got := f.listed(f.session("alice")); got != "" {
		t.Errorf("listed: %s", got)
	}
}

// TestPublicClientIsNotRemembered: a public client cannot prove that it is the one that was
// allowed something.
func TestPublicClientIsNotRemembered(t *testing.T) {
	f := newFixture(t)
	app, alice := f.client("App", "read"), f.session("alice")
	f.pass(time.Minute)
	f.want("a consent", f.Consent(t.Context(), alice, app, []string{"read"}), "")
	app.Public = true // by a later change
	if got, err := f.Consented(t.Context(), f.record("alice"), app, []string{"read"}); err != nil || got {
		t.Errorf("consented %v, %v", got, err)
	}
	app = f.client("App 2", "read")
	app.Public = true
	f.want("a consent", f.Consent(t.Context(), alice, app, []string{"read"}), "")
	if _, err := f.Consents.Get(t.Context(), "alice", app.ID); err == nil {
		t.Error("the consent for a public client is stored")
	}
}

// TestRedeemAfterTheEnd: a code gets nothing after the end of what its user had.
func TestRedeemAfterTheEnd(t *testing.T) {
	yes := true
	for what, end := range map[string]func(f *fixture) error{
		"disabled": func(f *fixture) error {
			_, err := f.Records.UpdateUser(f.Context(), admin, manage.UserRef{Name: "alice"}, manage.UserPatch{Disabled: &yes})
			return err
		},
		"another password": func(f *fixture) error {
			return f.Records.SetPassword(f.Context(), admin, manage.UserRef{Name: "alice"}, authz.NewSecret(testPassword), false)
		},
		"a temporary password": func(f *fixture) error {
			return f.Records.SetPassword(f.Context(), admin, manage.UserRef{Name: "alice"}, authz.NewSecret(testPassword), true)
		},
		"deleted": func(f *fixture) error { return f.Records.DeleteUser(f.Context(), admin, manage.UserRef{Name: "alice"}) },
		"deleted and made again": func(f *fixture) error {
			err := f.Records.DeleteUser(f.Context(), admin, manage.UserRef{Name: "alice"})
			f.pass(time.Second)
			f.user("alice", "read")
			return err
		},
	} {
		f := newFixture(t)
		shop := f.client("Shop", "read")
		code := f.code("alice", shop, "read")
		f.want(what, end(f), "")
		issued, err := f.Redeem(t.Context(), call, code, shop)
		f.want(what+": a code", err, fault.NotFound)
		if !issued.Refresh.Empty() || issued.User.Name != "" {
			t.Errorf("%s: an error and %+v", what, issued)
		}
	}
}

// TestRedeemRefused: which codes get nothing, and what they end.
func TestRedeemRefused(t *testing.T) {
	f := newFixture(t)
	shop, other := f.client("Shop", "read"), f.client("Other", "read")
	code := f.code("alice", shop, "read")
	for range 2 {
		_, err := f.Redeem(t.Context(), call, code, other)
		f.want("another client", err, fault.NotFound)
		_, _, err = f.FindCode(t.Context(), call, code, other)
		f.want("found by another client", err, fault.NotFound)
	}
	later := *shop
	later.Gen++
	if len(f.revoked()) > 0 {
		t.Error("another client has ended the grant")
	}
	_, err := f.Redeem(t.Context(), call, code, &later)
	f.want("a client whose tokens have ended", err, fault.NotFound)
	_, err = f.Redeem(t.Context(), call, code, shop)
	f.want("used up by that", err, fault.NotFound)
	if len(f.revoked()) != 1 {
		t.Errorf("revoked %+v", f.revoked())
	}
	_, _, err = f.FindCode(t.Context(), call, f.code("alice", shop), shop)
	f.want("a fresh one", err, "")
	code = f.code("alice", shop)
	f.pass(codeTTL)
	_, _, err = f.FindCode(t.Context(), call, code, shop)
	f.want("find an expired one", err, fault.NotFound)
	_, err = f.Redeem(t.Context(), call, code, shop)
	f.want("expired", err, fault.NotFound)
}

// TestRedeemedWithoutTheGrant: a client without the grant refresh_token gets no refresh token.
func TestRedeemedWithoutTheGrant(t *testing.T) {
	f := newFixture(t)
	shop := f.client("Shop", "read")
	shop.Grants = []oauth.Grant{oauth.AuthorizationCode}
	if issued := f.redeem("alice", shop, "read"); !issued.Refresh.Empty() || !issued.Grant.Expires.Equal(f.now().Add(time.Hour)) {
		t.Errorf("%+v, with a refresh token: %v", issued.Grant, !issued.Refresh.Empty())
	}
}
