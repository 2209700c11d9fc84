package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	soakParts  = 10   // of a soak shorter than ten minutes; a longer one is cut by the minute
	soakJunk   = 0.2  // of the requests
	soakGrowth = 1.05 // resident memory, to that after the first minute
	soakTail   = 10   // p99.9 to p50
)

// soak keeps a server on one core at saturation, with many keys at random and
// junk among them, and fails if its memory grows or its slowest answers become too slow.
func (b *bench) soak() error {
	dir := filepath.Join(b.dir, "soak")
	c, err := startChild(b.binary, dir, b.large, 1)
	if err != nil {
		return err
	}
	if err := pin(1); err != nil {
		return err
	}
	each := min(time.Minute, b.soakFor/soakParts)
	d := driver{
		address: "unix://" + c.socket, grpc: true, conns: 4, streams: 32, span: each,
		ask: mixed(requestSource(bearers(b.large.secrets), allow), requestSource(junkKeys(), deny), soakJunk),
	}
	b.report.begin(fmt.Sprintf("Soak, %s keys, %.0f %% junk", count(b.many), 100*soakJunk), "MiB", "µs CPU", "calls/s", "p50 µs", "p99 µs", "p99.9 µs")
	var w soakWatch
	for n := range max(int(b.soakFor/each), 2) {
		cells, err := w.soakOnce(c, d)
		if err != nil {
			return err
		}
		b.report.row(append([]string{fmt.Sprintf("after %s", time.Duration(n+1)*each)}, cells...)...)
		// The denials are logged. The file stays open, and goes on as one with a hole.
		if err := os.Truncate(filepath.Join(dir, "log"), 0); err != nil {
			return err
		}
	}
	b.report.begin("Soak, overall", "value")
	return errors.Join(w.judge(b), c.stop(), unpin())
}

// soakWatch is what was seen of a soak, part by part.
type soakWatch struct {
	resident  []int64
	p50, tail []float64 // microseconds
}

func (w *soakWatch) soakOnce(c *child, d driver) ([]string, error) {
	before, err := c.cpu()
	if err != nil {
		return nil, err
	}
	a, err := d.run()
	if err != nil {
		return nil, err
	}
	after, err := c.cpu()
	if err != nil {
		return nil, err
	}
	resident, err := c.resident()
	p50, p99, tail := micros(a.percentile(50)), micros(a.percentile(99)), micros(a.percentile(99.9))
	w.resident, w.p50, w.tail = append(w.resident, resident), append(w.p50, p50), append(w.tail, tail)
	return []string{
		fmt.Sprint(resident >> 20), fmt.Sprintf("%.2f", micros(after-before)/float64(a.count)), fmt.Sprintf("%.0f", a.rate()),
		fmt.Sprintf("%.0f", p50), fmt.Sprintf("%.0f", p99), fmt.Sprintf("%.0f", tail),
	}, err
}

// judge is an error where the soak was not passed.
func (w *soakWatch) judge(b *bench) error {
	var most int64
	for _, resident := range w.resident[1:] {
		most = max(most, resident)
	}
	growth, tail := float64(most)/float64(w.resident[0]), median(w.tail)/median(w.p50)
	b.row("maximum resident memory later, relative to that after the first part (at most %.2f)", soakGrowth, fmt.Sprintf("%.3f", growth))
	b.row("p99.9 relative to p50, medians of the parts (below %d)", soakTail, fmt.Sprintf("%.1f", tail))
	var failed error
	if growth > soakGrowth {
		failed = errors.Join(failed, errors.New("resident memory grew"))
	}
	if tail >= soakTail {
		failed = errors.Join(failed, errors.New("the slowest answers were too slow"))
	}
	return failed
}
