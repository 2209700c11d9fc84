package engine

import (
	"context"
	"errors"
	"testing"

	"keyward/authz"
	"keyward/passwordhash"
	"keyward/verifier/password"
)

// TestNewHash: a new password is hashed in the pool of the server, if it has one, and
// not for a caller that is gone.
func TestNewHash(t *testing.T) {
	h, err := (&environment{}).newHashing()
	if err != nil {
		t.Fatal(err)
	}
	pass := authz.NewSecret("correct horse")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for what, s := range map[string]*Snapshot{"with a pool": {hashing: h}, "without one": {}} {
		hash, err := s.passwordHasher()(t.Context(), pass)
		for err != nil && errors.Is(err, password.ErrBusy) && t.Context().Err() == nil { // on a busy machine
			hash, err = s.passwordHasher()(t.Context(), pass)
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if right, err := passwordhash.Verify(authz.NewSecret(hash), pass); err != nil || !right {
			t.Errorf("%s: %v, %v", what, right, err)
		}
	}
	pooled := (&Snapshot{hashing: h}).passwordHasher()
	if hash, err := pooled(gone, pass); err == nil || hash != "" {
		t.Errorf("for a caller that is gone: %q, %v", hash, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if hash, err := pooled(t.Context(), pass); err == nil || hash != "" {
		t.Errorf("in a pool that is closed: %q, %v", hash, err)
	}
}
