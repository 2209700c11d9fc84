package server

import (
	"runtime/debug"
	"runtime/metrics"
)

// collector keeps the garbage collector's headroom about constant. Most of
// what a server with many keys holds is flat bytes that cost the collector
// nothing, yet by the usual percentage they would double the memory in use; with
// few keys the same percentage would have it run many times a second.
type collector struct {
	sample  []metrics.Sample
	percent int
}

const (
	liveHeap    = "/gc/heap/live:bytes"
	headroom    = 32 << 20 // bytes that may be allocated between two collections,
	headroomOf  = 2        // and as much again as this part of what is alive
	minPercent  = 50
	maxPercent  = 800
	usualGOGC   = 100
	worthChange = 10 // percent of the setting; less is not worth stopping the world
)

func newCollector() *collector {
	return &collector{sample: []metrics.Sample{{Name: liveHeap}}, percent: usualGOGC}
}

// tune sets the percentage that gives the headroom with what is alive now.
func (c *collector) tune() {
	metrics.Read(c.sample)
	wanted := percentFor(c.sample[0].Value.Uint64())
	if change := 100 * (wanted - c.percent) / c.percent; change > worthChange || change < -worthChange {
		c.percent = wanted
		debug.SetGCPercent(wanted)
	}
}

func percentFor(live uint64) int {
	if live == 0 {
		return usualGOGC
	}
	return int(min(max((headroom+live/headroomOf)*100/live, minPercent), maxPercent))
}
