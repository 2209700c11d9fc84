package server

import "testing"

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	for live, want := range map[uint64]int{0: 100, 1 * mib: 800, 32 * mib: 200, 256 * mib: 112, 8192 * mib: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("with %d MiB alive: %d %%, want %d %%", live/mib, got, want)
		}
	}
}
