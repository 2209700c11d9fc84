package authz

import (
	"errors"
	"testing"

	"keyward/authz/nowait"
)

// fails returns a verifier that has no principal.
func fails(err error) func(*Credential) (*Principal, error) {
	return func(*Credential) (*Principal, error) { return nil, err }
}

// TestCheckAtOnce: what is the request's own fault is decided and observed. What is
// not is undecided, and neither observed nor allowed.
func TestCheckAtOnce(t *testing.T) {
	for name, line := range map[string]struct {
		change  func(*fakeDeps)
		want    Reason
		decided bool
	}{
		"an allow":         {func(*fakeDeps) {}, OK, true},
		"an invalid key":   {func(w *fakeDeps) { w.verify = fails(&CredentialError{Reason: UnknownKey}) }, UnknownKey, true},
		"another's path":   {func(w *fakeDeps) { w.authorize = PathNotAllowed }, PathNotAllowed, true},
		"no answer":        {func(w *fakeDeps) { w.verify = fails(nowait.Err) }, Unavailable, false},
		"keys not loaded":  {func(w *fakeDeps) { w.ready = errors.New("not loaded") }, Unavailable, false},
		"a verifier's bug": {func(w *fakeDeps) { w.verify = fails(nil) }, Internal, false},
		"a panic":          {func(w *fakeDeps) { w.verify = func(*Credential) (*Principal, error) { panic("injected") } }, Internal, false},
	} {
		w := newFakeDeps()
		line.change(w)
		c := w.checker(t)
		r := request()
		d, decided := c.CheckAtOnce(r)
		if d.Reason != line.want || decided != line.decided || (len(w.observed) == 1) != decided {
			t.Errorf("%s: %s, decided: %v, observed %d times", name, d.Reason, decided, len(w.observed))
		}
		if decided {
			continue
		}
		if d = c.DenyUndecided(r, d); d.Allowed() || d.ID == "" || len(w.observed) != 1 {
			t.Errorf("%s, denied: %s, observed %d times", name, d.Reason, len(w.observed))
		}
	}
}

// TestDenyUndecidedDenies: also what is not undecided.
func TestDenyUndecidedDenies(t *testing.T) {
	w := newFakeDeps()
	c := w.checker(t)
	r := request()
	d, _ := c.CheckAtOnce(r)
	if !d.Allowed() {
		t.Fatal(d.Reason)
	}
	if d := c.DenyUndecided(r, d); d.Allowed() || d.Status() != 503 {
		t.Errorf("%s", d.Reason)
	}
}

// TestClone: the copy has what the transport filled in, and nothing of the decision.
func TestClone(t *testing.T) {
	w := newFakeDeps()
	c := w.checker(t)
	r := request()
	r.Peer, r.RouteName, r.RequestID = "192.0.2.1", "name", "id"
	d, _ := c.CheckAtOnce(r)
	if !d.Allowed() {
		t.Fatal(d.Reason)
	}
	clone := r.Clone()
	target, headers := r.Target, len(r.Headers)
	r.Reset()
	if clone.Target != target || len(clone.Headers) != headers || clone.Headers[0].Name == "" || clone.Peer != "192.0.2.1" || clone.RouteName != "name" || clone.RequestID != "id" {
		t.Errorf("%+v", clone)
	}
	if clone.decision.Reason.Allows() || clone.credential != (Credential{}) {
		t.Errorf("the copy is decided: %+v", clone)
	}
	c.Learn(t.Context(), clone)
	if len(w.observed) != 1 {
		t.Errorf("learning was observed")
	}
}
