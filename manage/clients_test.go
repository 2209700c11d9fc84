package manage

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// accepts reports whether the secret is one of the client's now.
func (f *fixture) accepts(id string, secret authz.Secret) bool {
	f.Helper()
	r, err := f.Client(f.ctx(), f.admin, id)
	if err != nil {
		f.Fatal(err)
	}
	digest := f.Hasher.Digest(secret.Reveal())
	return r.Hash == digest || slices.ContainsFunc(store.Unexpired(r.Previous, f.now()), func(p store.PreviousSecret) bool { return p.Hash == digest })
}

// TestClientSecrets: a rotation ends every earlier secret, after the grace if there is
// one.
func TestClientSecrets(t *testing.T) {
	f := newFixture(t)
	client, first := f.client("Shop")
	ref := registry.ClientRef{ID: client.ID}
	if !store.ValidClientID(client.ID) || !strings.HasPrefix(first.Reveal(), "kwcs_") || !f.accepts(client.ID, first) {
		t.Fatalf("%+v", client)
	}
	f.pass(time.Second)
	rotated, second, err := f.RotateClient(f.ctx(), f.admin, ref, time.Hour)
	if err != nil || !f.accepts(client.ID, first) || !f.accepts(client.ID, second) || rotated.Gen != client.Gen || !rotated.Rotated.Equal(f.now()) {
		t.Errorf("within the grace: %+v, %v", rotated, err)
	}
	f.pass(time.Hour)
	if f.accepts(client.ID, first) || !f.accepts(client.ID, second) {
		t.Error("the secret before is valid after its grace")
	}
	if _, _, err := f.RotateClient(f.ctx(), f.admin, ref, time.Hour); err != nil {
		t.Fatal(err)
	}
	rotated, last, err := f.RotateClient(f.ctx(), f.admin, ref, 0)
	if err != nil || f.accepts(client.ID, second) || !f.accepts(client.ID, last) || rotated.Gen != client.Gen+1 {
		t.Errorf("without a grace: %+v, %v", rotated, err)
	}
	_, _, err = f.RotateClient(f.ctx(), f.admin, ref, -1)
	f.wantCode("a grace before now", err, fault.Invalid)
	public, none, err := f.CreateClient(f.ctx(), f.admin, registry.ClientInput{
		Name: "App", Public: true, Grants: []oauth.Grant{oauth.AuthorizationCode}, RedirectURIs: []string{"https://app.example.com/cb"},
	})
	if err != nil || !none.Empty() {
		t.Errorf("a public client has a secret: %v", err)
	}
	_, secret, err := f.RotateClient(f.ctx(), f.admin, registry.ClientRef{ID: public.ID}, 0)
	f.wantCode("a public client", err, fault.Conflict)
	if !secret.Empty() {
		t.Error("a public client got a secret")
	}
	f.wantNoSecrets(first, second, last)
}

// TestClientEndSaysWho: the record of a client that was disabled says by whom, as the
// audit log may not be writable then.
func TestClientEndSaysWho(t *testing.T) {
	f := newFixture(t)
	client, _ := f.client("Shop")
	for _, disabled := range []bool{true, false} {
		r, err := f.UpdateClient(f.ctx(), f.admin, registry.ClientRef{ID: client.ID}, registry.ClientPatch{Disabled: &disabled})
		if err != nil || (r.Ending != nil) != disabled || disabled && r.Ending.By != f.admin.Name() {
			t.Errorf("disabled %v: %+v, %v", disabled, r.Ending, err)
		}
	}
}

// wantNoSecrets fails the test if the audit log or a view has one of the secrets, or its
// hash.
func (f *fixture) wantNoSecrets(secrets ...authz.Secret) {
	f.Helper()
	all, _, err := f.ListClients(f.ctx(), f.admin, store.ClientFilter{}, store.Page{})
	if err != nil {
		f.Fatal(err)
	}
	shown := []any{f.entries()}
	for i := range all {
		shown = append(shown, registry.ViewClient(&all[i], f.now()))
	}
	text, err := json.Marshal(shown)
	if err != nil {
		f.Fatal(err)
	}
	for _, secret := range secrets {
		hash, err := f.Hasher.Digest(secret.Reveal()).MarshalText()
		if err != nil || strings.Contains(string(text), secret.Reveal()) || strings.Contains(string(text), string(hash)) {
			f.Errorf("a secret is shown (%v)", err)
		}
	}
}

// TestClientLifecycle: each change has its entry, and disabling ends the tokens.
func TestClientLifecycle(t *testing.T) {
	f := newFixture(t)
	made, _ := f.client("Shop")
	f.pass(time.Minute)
	disabled, err := f.UpdateClient(f.ctx(), f.admin, registry.ClientRef{ID: made.ID, IfMatch: made.Version()}, registry.ClientPatch{Disabled: new(true)})
	if err != nil || !disabled.Disabled || disabled.Gen != made.Gen+1 || !slices.Equal(disabled.Scopes, made.Scopes) {
		t.Errorf("%+v, %v", disabled, err)
	}
	_, err = f.UpdateClient(f.ctx(), f.admin, registry.ClientRef{ID: made.ID, IfMatch: made.Version()}, registry.ClientPatch{Disabled: new(false)})
	f.wantCode("a change of an earlier version", err, fault.Changed)
	_, _, err = f.RotateClient(f.ctx(), f.admin, registry.ClientRef{ID: made.ID, IfMatch: made.Version()}, 0)
	f.wantCode("a rotation of one", err, fault.Changed)
	enabled, err := f.UpdateClient(f.ctx(), f.admin, registry.ClientRef{ID: made.ID}, registry.ClientPatch{Disabled: new(false), Name: new("Store")})
	if err != nil || enabled.Disabled || enabled.Gen != disabled.Gen || enabled.Name != "Store" {
		t.Errorf("%+v, %v", enabled, err)
	}
	f.wantCode("to delete it", f.DeleteClient(f.ctx(), f.admin, registry.ClientRef{ID: made.ID}), "")
	_, err = f.Client(f.ctx(), f.admin, made.ID)
	f.wantCode("to read it then", err, fault.NotFound)
	var actions []audit.Action
	for _, e := range f.entries() {
		if e.Record == made.ID && e.Outcome == audit.Done {
			actions = append(actions, e.Action)
		}
	}
	if want := []audit.Action{audit.ClientCreate, audit.ClientDisable, audit.ClientUpdate, audit.ClientDelete}; !slices.Equal(actions, want) {
		t.Errorf("%q, want %q", actions, want)
	}
}

// TestInvalidClients is the policy: what a client may be.
func TestInvalidClients(t *testing.T) {
	f := newFixture(t)
	code, refresh, own := oauth.AuthorizationCode, oauth.RefreshToken, oauth.ClientCredentials
	here := []string{"https://shop.example.com/cb"}
	for what, c := range map[string]struct {
		in   registry.ClientInput
		code fault.Code
	}{
		"a confidential client":            {registry.ClientInput{Name: "x", RedirectURIs: here, Grants: []oauth.Grant{code, refresh, own}}, ""},
		"a public client":                  {registry.ClientInput{Name: "x", RedirectURIs: here, Grants: []oauth.Grant{code, refresh}, Public: true}, ""},
		"a program":                        {registry.ClientInput{Name: "x", Grants: []oauth.Grant{own}}, ""},
		"a scope that only looks like one": {registry.ClientInput{Name: "x", Grants: []oauth.Grant{own}, Scopes: []string{"keywardish"}}, ""},

		"no name":                       {registry.ClientInput{Grants: []oauth.Grant{own}}, fault.Invalid},
		"a hidden character":            {registry.ClientInput{Name: "Sh\u200bop", Grants: []oauth.Grant{own}}, fault.Invalid},
		"no grant":                      {registry.ClientInput{Name: "x"}, fault.Invalid},
		"a grant that is not offered":   {registry.ClientInput{Name: "x", Grants: []oauth.Grant{"password"}}, fault.Invalid},
		"a public client for itself":    {registry.ClientInput{Name: "x", Grants: []oauth.Grant{own}, Public: true}, fault.Invalid},
		"refresh tokens without a code": {registry.ClientInput{Name: "x", Grants: []oauth.Grant{own, refresh}}, fault.Invalid},
		"a code, and no redirect URI":   {registry.ClientInput{Name: "x", Grants: []oauth.Grant{code}}, fault.Invalid},
		"a redirect URI, and no code":   {registry.ClientInput{Name: "x", Grants: []oauth.Grant{own}, RedirectURIs: here}, fault.Invalid},
		"a redirect in the clear":       {registry.ClientInput{Name: "x", Grants: []oauth.Grant{code}, RedirectURIs: []string{"http://shop.example.com/cb"}}, fault.Invalid},
		"a scope that is not one":       {registry.ClientInput{Name: "x", Grants: []oauth.Grant{own}, Scopes: []string{"a b"}}, fault.Invalid},
		"a scope for managing Keyward":  {registry.ClientInput{Name: "x", Grants: []oauth.Grant{own}, Scopes: []string{"keyward:admin"}}, fault.Invalid},
		"a scope for one's own keys":    {registry.ClientInput{Name: "x", Grants: []oauth.Grant{own}, Scopes: []string{"read", "keyward:self"}}, fault.Invalid},
		"the id of a key":               {registry.ClientInput{ID: "k_0123456789ab", Name: "x", Grants: []oauth.Grant{own}}, fault.Invalid},
	} {
		r, secret, err := f.CreateClient(f.ctx(), f.admin, c.in)
		f.wantCode(what, err, c.code)
		if err != nil && len(fault.AsError(err).Fields) == 0 {
			t.Errorf("%s: no member is named: %v", what, err)
		}
		if (err == nil && !c.in.Public) == secret.Empty() {
			t.Errorf("%s: a secret is there or missing", what)
		}
		if err == nil {
			_, err := f.UpdateClient(f.ctx(), f.admin, registry.ClientRef{ID: r.ID}, registry.ClientPatch{Scopes: scopes("keyward:read")})
			f.wantCode(what+", given a managing scope", err, fault.Invalid)
		}
	}
	client, _ := f.client("Shop")
	for what, patch := range map[string]registry.ClientPatch{
		"a code, and no redirect URI":  {Grants: &[]oauth.Grant{code}},
		"a redirect URI, and no code":  {RedirectURIs: &here},
		"no name":                      {Name: new("")},
		"no grant, and disabled":       {Grants: &[]oauth.Grant{}, Disabled: new(true)},
		"a scope for managing Keyward": {Scopes: scopes("keyward:admin")},
	} {
		_, err := f.UpdateClient(f.ctx(), f.admin, registry.ClientRef{ID: client.ID}, patch)
		f.wantCode("changed to "+what, err, fault.Invalid)
	}
}
