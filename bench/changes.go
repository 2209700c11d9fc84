package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"keyward/keystore"
)

// changes measures, with many keys and under load, how soon a revocation and a
// new key are in force, and what the changes do to the checks of other keys.
func (b *bench) changes() error {
	c, err := startChild(b.binary, filepath.Join(b.dir, "d"), b.large, 2)
	if err != nil {
		return err
	}
	loaders, err := dial(c, 4)
	if err != nil {
		return err
	}
	defer loaders.close()
	prober, err := dial(c, 1)
	if err != nil {
		return err
	}
	defer prober.close()
	half := len(b.large.secrets) / 2
	steady := load{workers: 32, rate: 2000, span: 10 * b.span, pick: anyKey(b.large.secrets[half:])}
	if _, err := loaders.run(context.Background(), steady); err != nil { // warms up
		return err
	}
	var quiet, busy []time.Duration
	var lags changeLags
	for n := range changeRounds {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan changeLags, 1)
		changing := n%2 == 1
		go func() { done <- b.change(ctx, prober, n*half/changeRounds, changing) }()
		o, err := loaders.run(context.Background(), steady)
		cancel()
		l := <-done
		if err := errors.Join(err, l.err); err != nil {
			return err
		}
		if !changing {
			quiet = append(quiet, o.percentile(99.9))
			continue
		}
		busy = append(busy, o.percentile(99.9))
		lags.revoked, lags.created = append(lags.revoked, l.revoked...), append(lags.created, l.created...)
	}
	b.row("from revocation until refused: p50 of %d", len(lags.revoked), at(lags.revoked, 50))
	b.row("from revocation until refused: p99", at(lags.revoked, 99))
	b.row("from creation until accepted: p99 of %d", len(lags.created), at(lags.created, 99))
	calm, stirred := at(quiet, 50), at(busy, 50)
	b.row("other keys' p99.9 at %d checks/s, no changes (median round)", steady.rate, calm)
	b.row("other keys' p99.9, with 20 changes per second (median round)", stirred)
	b.row("ratio of the two", fmt.Sprintf("%.2f", float64(stirred)/float64(calm)))
	return c.stop()
}

// changeRounds is how many rounds there are, without and with changes in turn.
const changeRounds = 10

type changeLags struct {
	revoked, created []time.Duration
	err              error
}

func at(all []time.Duration, p float64) time.Duration {
	o := outcome{latencies: slices.Sorted(slices.Values(all))}
	return o.percentile(p).Round(10 * time.Microsecond)
}

// change revokes and creates keys in turn, ten of each a second, and waits
// for each to be in force. Half of the revoked ones were checked, and so are
// cached. Without changes it asks as often, about a key that stays.
func (b *bench) change(ctx context.Context, prober *client, from int, changing bool) (l changeLags) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := from; ; n++ {
		select {
		case <-ctx.Done():
			return l
		case <-tick.C:
		}
		var lag time.Duration
		if !changing {
			_, l.err = awaitAnswer(prober, b.large.secrets[len(b.large.secrets)-1], true, time.Now())
		} else if n%2 == 0 {
			lag, l.err = b.revokeOne(prober, n)
			l.revoked = append(l.revoked, lag)
		} else {
			lag, l.err = b.createOne(prober)
			l.created = append(l.created, lag)
		}
		if l.err != nil {
			return l
		}
	}
}

func (b *bench) revokeOne(prober *client, n int) (time.Duration, error) {
	if n%4 == 0 {
		if ok, err := prober.allowed(context.Background(), 0, bearer(b.large.secrets[n])); err != nil || !ok {
			return 0, fmt.Errorf("key %d before it was revoked: %v, %w", n, ok, err)
		}
	}
	if err := appendRevocation(b.large.path, b.large.records[n]); err != nil {
		return 0, err
	}
	return awaitAnswer(prober, b.large.secrets[n], false, time.Now())
}

func (b *bench) createOne(prober *client) (time.Duration, error) {
	_, secret, err := b.large.journal.Create(keystore.Params{
		Name: "made under load", Prefix: keyPrefix, Scopes: &[]string{"items:read", "items:write"},
	})
	if err != nil {
		return 0, err
	}
	return awaitAnswer(prober, secret.Reveal(), true, time.Now())
}

// awaitAnswer returns the time from when the change was reported as done.
func awaitAnswer(prober *client, key string, want bool, began time.Time) (time.Duration, error) {
	for time.Since(began) < 10*time.Second {
		ok, err := prober.allowed(context.Background(), 0, bearer(key))
		if err != nil {
			return 0, err
		}
		if ok == want {
			return time.Since(began), nil
		}
	}
	return 0, errors.New("a change was not in force after ten seconds")
}

// appendRevocation does what `key revoke` does once it has found the record.
// Finding it reads the file, and would measure the writer's processor time on the
// server's cores.
func appendRevocation(path string, record keystore.Record) error {
	now := time.Now().UTC()
	record.At, record.Revoked = now, now
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return appendLocked(path, append(line, '\n'))
}

// appendLocked writes lines as the commands do: at once, under the lock, synced.
func appendLocked(path string, lines []byte) error {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(lines)
	return errors.Join(err, file.Sync(), file.Close())
}
