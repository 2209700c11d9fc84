package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	batchSize  = 100 // changes that are appended at once
	batchEvery = 100 * time.Millisecond

	// More under way on a connection than at saturation: what a stall holds up is asked all the same.
	churnStreams = 250
)

// churn is a server whose key file is replaced and changed while it is asked
// at half the rate that it can answer.
type churn struct {
	*child
	keys   *keyFile // a copy, so that others find theirs as it was
	prober *client
	steady driver
	next   int // of the keys, the one to be changed next; those in the second half are asked about, and stay

	quiet, reloading, changing []float64 // p99 in microseconds, by round
	reloads                    []float64 // seconds
	failed                     int
}

// reload measures what checks see of a reload of the whole file, and of a
// thousand changes a second.
func (b *bench) reload() error {
	c, err := b.startChurn()
	if err != nil {
		return err
	}
	defer c.prober.close()
	for range b.rounds {
		if err := c.round(); err != nil {
			return err
		}
	}
	c.print(b)
	return errors.Join(c.stop(), unpin())
}

func (b *bench) startChurn() (c *churn, err error) {
	dir := filepath.Join(b.dir, "churn")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c = &churn{keys: &keyFile{path: filepath.Join(dir, "keys.jsonl"), secrets: b.large.secrets, records: b.large.records}}
	if err := copyFile(b.large.path, c.keys.path); err != nil {
		return nil, err
	}
	if c.child, err = startChild(b.binary, dir, c.keys, 2); err != nil {
		return nil, err
	}
	if c.prober, err = dial(c.child, 1); err != nil {
		return nil, err
	}
	if err := pin(1); err != nil {
		return nil, err
	}
	stay := c.keys.secrets[len(c.keys.secrets)/2:]
	c.steady = driver{address: "unix://" + c.socket, ask: requestSource(bearers(stay), allow), grpc: true, conns: 4, streams: 32, span: 2 * b.span}
	if _, err := c.steady.run(); err != nil { // warms up
		return nil, err
	}
	most, err := c.steady.run()
	if err != nil {
		return nil, err
	}
	c.steady.rate, c.steady.streams, c.steady.span, c.steady.lenient = int(most.rate()/2), churnStreams, 3*b.span, true
	return c, nil
}

// round measures each once.
func (c *churn) round() error {
	for _, part := range []struct {
		p99     *[]float64
		measure func() (*answers, error)
	}{{&c.quiet, c.steady.run}, {&c.reloading, c.underReload}, {&c.changing, c.underChanges}} {
		a, err := part.measure()
		if err != nil {
			return err
		}
		*part.p99 = append(*part.p99, micros(a.percentile(99)))
		c.failed += a.failed
	}
	return nil
}

// underReload lasts from when another file takes the key file's place until what is new in it is in force.
func (c *churn) underReload() (*answers, error) {
	replacement := c.keys.path + ".new"
	if err := copyFile(c.keys.path, replacement); err != nil {
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
		err := os.Rename(replacement, c.keys.path)
		if err == nil {
			err = c.awaitRefusal(revoked)
		}
		c.reloads = append(c.reloads, time.Since(began).Seconds())
		done <- err
	}()
	d := c.steady
	d.span, d.stop = time.Minute, stop
	a, err := d.run()
	return a, errors.Join(err, <-done)
}

// underChanges appends a batch after the other.
func (c *churn) underChanges() (*answers, error) {
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
			if last, err = c.change(c.keys.path, batchSize); err != nil {
				done <- err
				return
			}
		}
	}()
	a, err := c.steady.run()
	close(stop)
	return a, errors.Join(err, <-done)
}

// change appends so many lines to a key file as a command does: in one write,
// under the lock, synced. Every other line gives a key other scopes, and the rest,
// the last among them, revoke one. It returns the last one's secret.
func (c *churn) change(path string, lines int) (string, error) {
	if c.next+lines > min(len(c.keys.records), len(c.keys.secrets)/2) {
		return "", errors.New("no keys are left to change: use fewer or shorter rounds")
	}
	var batch bytes.Buffer
	now := time.Now().UTC()
	for n := range lines {
		record := c.keys.records[c.next+n]
		record.At, record.Scopes = now, &[]string{"items:read"}
		if (lines-n)%2 == 1 {
			record.Revoked = now
		}
		if err := json.NewEncoder(&batch).Encode(record); err != nil {
			return "", err
		}
	}
	c.next += lines
	return c.keys.secrets[c.next-1], appendLocked(path, batch.Bytes())
}

// awaitRefusal asks now and then, so as not to be a load itself.
func (c *churn) awaitRefusal(secret string) error {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
		ok, err := c.prober.allowed(context.Background(), 0, bearer(secret))
		if err != nil || !ok {
			return err
		}
	}
	return errors.New("a revocation was not in force after a minute")
}

func (c *churn) print(b *bench) {
	b.row("checks per second, half of the maximum, with %s keys", count(b.many), c.steady.rate)
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

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
