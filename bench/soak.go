package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/bench/report"
)

const (
	soakParts  = 10   // parts of a soak under ten minutes; a longer one has one per minute
	soakJunk   = 0.2  // fraction of the requests
	soakGrowth = 1.05 // maximum ratio of resident memory to that after the first minute
	soakTail   = 10   // maximum ratio of p99.9 to p50
)

// soak keeps a server on one core at saturation, with random ones of many keys
// and with junk. It fails if the server's memory grows, or if its slowest
// replies become too slow.
func (b *bench) soak() error {
	dir := filepath.Join(b.dir, "soak")
	c, err := process.Start(process.Config{Binary: b.binary, Dir: dir, KeyFile: b.large.Path, Procs: 1})
	if err != nil {
		return err
	}
	if err := process.Pin(1); err != nil {
		return err
	}
	each := min(time.Minute, b.soakFor/soakParts)
	d := loadgen.Driver{
		Address: "unix://" + c.Socket, GRPC: true, Conns: 4, Streams: 32, Span: each,
		Ask: loadgen.Mixed(loadgen.RequestSource(credential.Bearers(b.large.Secrets), loadgen.Allow), loadgen.RequestSource(credential.JunkKeys(), loadgen.Deny), soakJunk),
	}
	b.report.Begin(fmt.Sprintf("Soak, %s keys, %.0f %% junk", report.Count(b.many), 100*soakJunk), "MiB", "µs CPU", "calls/s", "p50 µs", "p99 µs", "p99.9 µs")
	var w soakWatch
	for n := range max(int(b.soakFor/each), 2) {
		cells, err := w.soakOnce(c, d)
		if err != nil {
			return err
		}
		b.report.Row(append([]string{fmt.Sprintf("after %s", time.Duration(n+1)*each)}, cells...)...)
		// The denials are logged. The server keeps the file open, and writes on
		// after a hole.
		if err := os.Truncate(filepath.Join(dir, process.LogFile), 0); err != nil {
			return err
		}
	}
	b.report.Begin("Soak, overall", "value")
	return errors.Join(w.evaluate(b), c.Stop(), process.Unpin())
}

// soakWatch holds the measurements of a soak, by part.
type soakWatch struct {
	resident  []int64
	p50, tail []float64 // microseconds
}

func (w *soakWatch) soakOnce(c *process.Child, d loadgen.Driver) ([]string, error) {
	before, err := c.CPU()
	if err != nil {
		return nil, err
	}
	a, err := d.Run()
	if err != nil {
		return nil, err
	}
	after, err := c.CPU()
	if err != nil {
		return nil, err
	}
	resident, err := c.Resident()
	p50, p99, tail := micros(a.Percentile(50)), micros(a.Percentile(99)), micros(a.Percentile(99.9))
	w.resident, w.p50, w.tail = append(w.resident, resident), append(w.p50, p50), append(w.tail, tail)
	return []string{
		fmt.Sprint(resident >> 20), fmt.Sprintf("%.2f", micros(after-before)/float64(a.Count)), fmt.Sprintf("%.0f", a.Rate()),
		fmt.Sprintf("%.0f", p50), fmt.Sprintf("%.0f", p99), fmt.Sprintf("%.0f", tail),
	}, err
}

// evaluate returns an error if the soak failed.
func (w *soakWatch) evaluate(b *bench) error {
	var peak int64
	for _, resident := range w.resident[1:] {
		peak = max(peak, resident)
	}
	growth, tail := float64(peak)/float64(w.resident[0]), median(w.tail)/median(w.p50)
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
