package state

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestMarkUsed: of the calls with one id one alone is the first, whatever process
// made it, until the mark has expired.
func TestMarkUsed(t *testing.T) { onEach(t, testMarkUsed) }

func testMarkUsed(t *testing.T, newPlace newPlace) {
	clock, shared := newClock(), newPlace(t)
	handles := []*DB{shared.open(t, clock), shared.open(t, clock)}
	one, other := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("other"))
	until := clock.now().Add(10 * time.Minute)
	var firsts atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			first, err := handles[i%2].Codes.MarkUsed(t.Context(), one, until)
			want(t, "mark", err, nil)
			if first {
				firsts.Add(1)
			}
		})
	}
	all.Wait()
	if n := firsts.Load(); n != 1 {
		t.Errorf("%d calls were the first", n)
	}
	marked := func(what string, id [sha256.Size]byte, wanted bool) {
		t.Helper()
		if first, err := handles[0].Codes.MarkUsed(t.Context(), id, until); err != nil || first != wanted {
			t.Errorf("%s: %t, %v", what, first, err)
		}
	}
	marked("another id", other, true)
	clock.advance(10*time.Minute - time.Millisecond)
	want(t, "sweep", handles[1].Sweep(t.Context()), nil)
	marked("before it expires", one, false)
	clock.advance(time.Millisecond)
	want(t, "sweep", handles[1].Sweep(t.Context()), nil)
	if n := rows(t, handles[0], "state_code"); n != 0 {
		t.Errorf("%d marks stay", n)
	}
}
