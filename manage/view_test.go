package manage

import (
	"testing"
	"time"

	"keyward/store"
)

func TestStateByMaxAge(t *testing.T) {
	made := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	k := KeyRules{MaxAge: time.Hour}
	for age, want := range map[time.Duration]KeyState{0: KeyActive, time.Hour - 1: KeyActive, time.Hour: KeyExpired} {
		if got := k.State(&store.KeyRecord{Created: made}, made.Add(age)); got != want {
			t.Errorf("%v old: %s, want %s", age, got, want)
		}
	}
	if got := k.State(&store.KeyRecord{Created: made, Deleted: made}, made); got != KeyRevoked {
		t.Errorf("deleted: %s", got)
	}
}
