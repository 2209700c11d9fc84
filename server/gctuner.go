package server

import (
	"runtime/debug"
	"runtime/metrics"
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
