package server

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"keyward/config"
)

// gcTuner gives the garbage collector its default headroom, which is the size of
// the live heap, and a constant in addition. With few keys the default percentage
// alone would make it run many times per second.
type gcTuner struct {
	sample  []metrics.Sample
	percent int
}

const (
	liveHeap    = "/gc/heap/live:bytes"
	defaultGOGC = 100
	headroom    = 32 << 20 // bytes, in addition to the default
	maxPercent  = 800
	minChange   = 10 // percent of the setting; a smaller change is not worth stopping the world
)

func newGCTuner() *gcTuner {
	return &gcTuner{sample: []metrics.Sample{{Name: liveHeap}}, percent: defaultGOGC}
}

// tune sets the percentage that gives this headroom for the current live heap.
func (g *gcTuner) tune() {
	metrics.Read(g.sample)
	wanted := percentFor(g.sample[0].Value.Uint64())
	if change := 100 * (wanted - g.percent) / g.percent; change > minChange || change < -minChange {
		g.percent = wanted
		debug.SetGCPercent(wanted)
	}
}

func percentFor(live uint64) int {
	if live == 0 {
		return defaultGOGC
	}
	return int(min(defaultGOGC+headroom*100/live, maxPercent))
}

// minProcs is how many threads run Go code at a time, at least, in a server that manages: also
// on one core. One that waits for the disk, or that renders a page, then does not keep the
// checks waiting: the system divides the core between the threads. The Go runtime takes two as
// the minimum under a CPU limit, but not on a machine of one core.
const minProcs = 2

// tuneProcs raises GOMAXPROCS if the configuration has the server manage.
func tuneProcs(cfg *config.Config) {
	if manages := cfg.Listen.Console != "" || cfg.Listen.Issuer != ""; manages && runtime.GOMAXPROCS(0) < minProcs {
		runtime.GOMAXPROCS(minProcs)
	}
}
