package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	batchSize  = 100 // changes per write
	batchEvery = 100 * time.Millisecond

	// more in flight per connection than at saturation, so that a stall does
	// not stop the client
	churnStreams = 250
)

// churn is a server whose key file is replaced and changed while it receives
// checks at half of the rate that it can answer.
type churn struct {
	*process.Child
	keys   *credential.KeyFile // a copy, so that other parts find theirs unchanged
	prober *loadgen.Client
	steady loadgen.Driver
	next   int // index of the key to change next; the keys of the second half are checked and never change

	quiet, reloading, changing []float64 // p99 in microseconds, by round
	reloads                    []float64 // seconds
	failed                     int
}

// reload measures how a reload of the entire file, and a thousand changes per
// second, affect checks.
func (b *bench) reload() error {
	c, err := b.startChurn()
	if err != nil {
		return err
	}
	defer c.prober.Close()
	for range b.rounds {
		if err := c.round(); err != nil {
			return err
		}
	}
	c.print(b)
	return errors.Join(c.Stop(), process.Unpin())
}

func (b *bench) startChurn() (c *churn, err error) {
	dir := filepath.Join(b.dir, "churn")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c = &churn{keys: &credential.KeyFile{Path: filepath.Join(dir, "keys.jsonl"), Secrets: b.large.Secrets, Records: b.large.Records}}
	if err := credential.CopyFile(b.large.Path, c.keys.Path); err != nil {
		return nil, err
	}
	if c.Child, err = process.Start(process.Config{Binary: b.binary, Dir: dir, KeyFile: c.keys.Path, Procs: 2}); err != nil {
		return nil, err
	}
	if c.prober, err = loadgen.Dial(c.Socket, 1); err != nil {
		return nil, err
	}
	if err := process.Pin(1); err != nil {
		return nil, err
	}
	stay := c.keys.Secrets[len(c.keys.Secrets)/2:]
	c.steady = loadgen.Driver{Address: "unix://" + c.Socket, Ask: loadgen.RequestSource(credential.Bearers(stay), loadgen.Allow), GRPC: true, Conns: 4, Streams: 32, Span: 2 * b.span}
	if _, err := c.steady.Run(); err != nil { // warm-up
		return nil, err
	}
	steady, err := c.steady.Run()
	if err != nil {
		return nil, err
	}
	c.steady.Rate, c.steady.Streams, c.steady.Span, c.steady.Lenient = int(steady.Rate()/2), churnStreams, 3*b.span, true
	return c, nil
}

// round measures each case once.
func (c *churn) round() error {
	for _, part := range []struct {
		p99     *[]float64
		measure func() (*loadgen.Answers, error)
	}{{&c.quiet, c.steady.Run}, {&c.reloading, c.underReload}, {&c.changing, c.underChanges}} {
		a, err := part.measure()
		if err != nil {
			return err
		}
		*part.p99 = append(*part.p99, micros(a.Percentile(99)))
		c.failed += a.Failed
	}
	return nil
}

// underReload measures from the replacement of the key file until its content
// is in force.
func (c *churn) underReload() (*loadgen.Answers, error) {
	replacement := c.keys.Path + ".new"
	if err := credential.CopyFile(c.keys.Path, replacement); err != nil {
		return nil, err
	}
	revoked, err := c.change(replacement, 1)
	if err != nil {
		return nil, err
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(stop)
		began := time.Now()
		err := os.Rename(replacement, c.keys.Path)
		if err == nil {
			err = c.awaitRefusal(revoked)
		}
		c.reloads = append(c.reloads, time.Since(began).Seconds())
		done <- err
	}()
	d := c.steady
	d.Span, d.Stop = time.Minute, stop
	a, err := d.Run()
	return a, errors.Join(err, <-done)
}

// underChanges appends one batch after another.
func (c *churn) underChanges() (*loadgen.Answers, error) {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(batchEvery)
		defer tick.Stop()
		var last string
		for {
			select {
			case <-stop:
				done <- c.awaitRefusal(last)
				return
			case <-tick.C:
			}
			var err error
			if last, err = c.change(c.keys.Path, batchSize); err != nil {
				done <- err
				return
			}
		}
	}()
	a, err := c.steady.Run()
	close(stop)
	return a, errors.Join(err, <-done)
}

// change appends that many lines to a key file as a command does: in one write,
// under the lock, and synced. Every other line changes the scopes of a key. The
// rest, including the last, revoke a key. It returns the secret of the last
// one.
func (c *churn) change(path string, lines int) (string, error) {
	if c.next+lines > min(len(c.keys.Records), len(c.keys.Secrets)/2) {
		return "", errors.New("no keys are left to change: use fewer or shorter rounds")
	}
	var batch bytes.Buffer
	now := time.Now().UTC()
	for n := range lines {
		record := c.keys.Records[c.next+n]
		record.At, record.Scopes = now, &[]string{"items:read"}
		if (lines-n)%2 == 1 {
			record.Revoked = now
		}
		if err := json.NewEncoder(&batch).Encode(record); err != nil {
			return "", err
		}
	}
	c.next += lines
	return c.keys.Secrets[c.next-1], credential.AppendLocked(path, batch.Bytes())
}

// awaitRefusal checks seldom enough not to be a load itself.
func (c *churn) awaitRefusal(secret string) error {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
		ok, err := c.prober.Allowed(context.Background(), 0, credential.Bearer(secret))
		if err != nil || !ok {
			return err
		}
	}
	return errors.New("a revocation was not in force after a minute")
}

func (c *churn) print(b *bench) {
	b.row("checks per second, half of the maximum, with %s keys", report.Count(b.many), c.steady.Rate)
	b.row("failed requests (none)", c.failed)
	b.row("reload of the file, until in force (s)", fmt.Sprintf("%.1f", median(c.reloads)))
	b.row("p99 of checks: without changes (µs)", fmt.Sprintf("%.0f", median(c.quiet)))
	for _, part := range []struct {
		name string
		p99  []float64
	}{{"during the reload", c.reloading}, {fmt.Sprintf("with %d changes per second", batchSize*time.Second/batchEvery), c.changing}} {
		var ratios []float64
		for round, p99 := range part.p99 {
			ratios = append(ratios, p99/c.quiet[round])
		}
		b.row("p99 of checks: %s (µs)", part.name, fmt.Sprintf("%.0f", median(part.p99)))
		b.row("ratio to no changes (at most 2)", fmt.Sprintf("%.2f", median(ratios)))
	}
}
