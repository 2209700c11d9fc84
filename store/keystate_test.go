package store

import (
	"testing"
	"time"
)

func TestStateByMaxAge(t *testing.T) {
	made := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	k := KeyRules{MaxAge: time.Hour}
	for age, want := range map[time.Duration]KeyState{0: KeyActive, time.Hour - 1: KeyActive, time.Hour: KeyExpired} {
		if got := k.State(&KeyStatus{Created: made, SecretSince: made}, made.Add(age)); got != want {
			t.Errorf("%v old: %s, want %s", age, got, want)
		}
	}
	if got := k.State((&KeyRecord{Created: made, Deleted: made}).Status(), made); got != KeyRevoked {
		t.Errorf("deleted: %s", got)
	}
}

// TestStates: of the states that apply, the last one is shown, as in the checks.
func TestStates(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	paused := &Pause{Since: now}
	for want, records := range map[KeyState][]KeyRecord{
		KeyActive:      {{}, {NotBefore: now}},
		KeyNotYetValid: {{NotBefore: now.Add(1)}},
		KeyPaused:      {{Paused: paused}, {Paused: paused, NotBefore: now.Add(1)}},
		KeyExpired:     {{Paused: paused, Expires: now}},
		KeyRevoked:     {{Paused: paused, Revoked: now}},
		KeyUnsupported: {{Unsupported: true}},
	} {
		for _, r := range records {
			if got := (&KeyRules{}).State(r.Status(), now); got != want {
				t.Errorf("%+v: %s, want %s", r, got, want)
			}
		}
		if ended := want == KeyExpired || want == KeyRevoked || want == KeyUnsupported; want.HasEnded() != ended {
			t.Errorf("%s has ended: %t", want, !ended)
		}
	}
	if !KeyState("").HasEnded() {
		t.Error("a state that is not known has not ended")
	}
}

// TestAgeCountsFromRotation: as the checks count it.
func TestAgeCountsFromRotation(t *testing.T) {
	made := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	r := KeyRecord{Created: made, Rotated: made.Add(time.Hour)}
	rules := KeyRules{MaxAge: 2 * time.Hour}
	for age, want := range map[time.Duration]KeyState{2 * time.Hour: KeyActive, 3*time.Hour - 1: KeyActive, 3 * time.Hour: KeyExpired} {
		if got := rules.State(r.Status(), made.Add(age)); got != want {
			t.Errorf("after %s: %s, want %s", age, got, want)
		}
	}
}
