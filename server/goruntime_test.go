package server

import (
	"runtime"
	"testing"

	"keyward/config"
)

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	for live, want := range map[uint64]int{0: 100, 1 * mib: 800, 32 * mib: 200, 256 * mib: 112, 8192 * mib: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("with %d MiB alive: %d %%, want %d %%", live/mib, got, want)
		}
	}
}

// TestTuneProcs: a server that manages has two threads of Go code on one core too, and one
// that checks only is left alone.
func TestTuneProcs(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, c := range []struct {
		listen       config.Listen
		before, want int
	}{
		{config.Listen{GRPC: "127.0.0.1:0", Admin: "127.0.0.1:0"}, 1, 1},
		{config.Listen{Console: "127.0.0.1:0"}, 1, 2},
		{config.Listen{Issuer: "127.0.0.1:0"}, 1, 2},
		{config.Listen{Console: "127.0.0.1:0"}, 3, 3},
	} {
		runtime.GOMAXPROCS(c.before)
		tuneProcs(&config.Config{Listen: c.listen})
		if got := runtime.GOMAXPROCS(0); got != c.want {
			t.Errorf("%+v with %d before: %d, want %d", c.listen, c.before, got, c.want)
		}
	}
}
