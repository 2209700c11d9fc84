package session

import (
	"context"
	"errors"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/state"
	"keyward/store"
)

// fakeStores have one session and its user.
type fakeStores struct {
	session    state.Session
	user       store.UserRecord
	found, get error
}

func (f *fakeStores) Find(context.Context, authz.Secret) (state.Session, error) {
	return f.session, f.found
}

func (f *fakeStores) Get(context.Context, string) (store.UserRecord, error) { return f.user, f.get }

// TestVerifier is the policy: which cookie is a credential, and why another is not.
func TestVerifier(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	unavailable := errors.New("unavailable")
	for what, c := range map[string]struct {
		change func(*fakeStores)
		want   authz.Reason
	}{
		"a session":               {func(*fakeStores) {}, authz.OK},
		"no session":              {func(f *fakeStores) { f.found = state.ErrNotFound }, authz.InvalidToken},
		"no state file":           {func(f *fakeStores) { f.found = unavailable }, authz.Unavailable},
		"no user":                 {func(f *fakeStores) { f.get = store.ErrNotFound }, authz.DisabledUser},
		"no users file":           {func(f *fakeStores) { f.get = unavailable }, authz.Unavailable},
		"a disabled user":         {func(f *fakeStores) { f.user.Disabled = true }, authz.DisabledUser},
		"a program":               {func(f *fakeStores) { f.user.Service = true }, authz.DisabledUser},
		"a record that is newer":  {func(f *fakeStores) { f.user.Unsupported = true }, authz.DisabledUser},
		"sessions that ended":     {func(f *fakeStores) { f.user.SessionsSince = now }, authz.RevokedToken},
		"a user of the same name": {func(f *fakeStores) { f.user.ValidSince = now }, authz.RevokedToken},
	} {
		f := &fakeStores{session: state.Session{ID: "s_1", User: "alice", Login: now}, user: store.UserRecord{Name: "alice"}}
		c.change(f)
		p, err := Verifier{f, f}.Verify(t.Context(), &authz.Credential{Scheme: authz.SchemeSession}, now)
		got := authz.Unavailable
		if denied, ok := errors.AsType[*authz.CredentialError](err); ok {
			got = denied.Reason
		} else if err == nil {
			got = authz.OK
		}
		if got != c.want || (p != nil) != (c.want == authz.OK) || p != nil && (p.User != "alice" || p.AuthMethod != authz.AuthMethodSession || p.KeyID != "") {
			t.Errorf("%s: %+v, %v, want %s", what, p, err, c.want)
		}
		if _, err := (Verifier{f, f}).Verify(t.Context(), &authz.Credential{Scheme: authz.SchemeBearer}, now); !errors.Is(err, authz.ErrNotMine) {
			t.Errorf("%s, in Authorization: %v", what, err)
		}
	}
}
