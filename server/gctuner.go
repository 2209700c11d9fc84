package server

import (
	"runtime/debug"
	"runtime/metrics"
)

// gcTuner gives the garbage collector the headroom that it takes by itself, as
// much again as what is alive, and a constant beside: with few keys the usual
// percentage alone would have it run many times a second.
type gcTuner struct {
	sample  []metrics.Sample
	percent int
}

const (
	liveHeap    = "/gc/heap/live:bytes"
	usualGOGC   = 100
	headroom    = 32 << 20 // bytes, beside the usual
	maxPercent  = 800
	worthChange = 10 // percent of the setting; less is not worth stopping the world
)

func newGCTuner() *gcTuner {
	return &gcTuner{sample: []metrics.Sample{{Name: liveHeap}}, percent: usualGOGC}
}

// tune sets the percentage that gives the headroom with what is alive now.
func (g *gcTuner) tune() {
	metrics.Read(g.sample)
	wanted := percentFor(g.sample[0].Value.Uint64())
	if change := 100 * (wanted - g.percent) / g.percent; change > worthChange || change < -worthChange {
		g.percent = wanted
		debug.SetGCPercent(wanted)
	}
}

func percentFor(live uint64) int {
	if live == 0 {
		return usualGOGC
	}
	return int(min(usualGOGC+headroom*100/live, maxPercent))
}
