package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/store"
)

// changes measures, with many keys and under load, how soon a revocation and a
// new key are in force, and how the changes affect the checks of other keys.
func (b *bench) changes() error {
	c, err := process.Start(process.Config{Binary: b.binary, Dir: filepath.Join(b.dir, "d"), KeyFile: b.large.Path, Procs: 2})
	if err != nil {
		return err
	}
	loaders, err := loadgen.Dial(c.Socket, 4)
	if err != nil {
		return err
	}
	defer loaders.Close()
	prober, err := loadgen.Dial(c.Socket, 1)
	if err != nil {
		return err
	}
	defer prober.Close()
	half := len(b.large.Secrets) / 2
	steady := loadgen.Load{Workers: 32, Rate: 2000, Span: 10 * b.span, Pick: credential.AnyKey(b.large.Secrets[half:])}
	if _, err := loaders.Run(context.Background(), steady); err != nil { // warm-up
		return err
	}
	var quiet, busy []time.Duration
	var lags changeLags
	for n := range changeRounds {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan changeLags, 1)
		changing := n%2 == 1
		go func() { done <- b.change(ctx, prober, n*half/changeRounds, changing) }()
		o, err := loaders.Run(context.Background(), steady)
		cancel()
		l := <-done
		if err := errors.Join(err, l.err); err != nil {
			return err
		}
		if !changing {
			quiet = append(quiet, o.Percentile(99.9))
			continue
		}
		busy = append(busy, o.Percentile(99.9))
		lags.revoked, lags.created = append(lags.revoked, l.revoked...), append(lags.created, l.created...)
	}
	b.row("from revocation until refused: p50 of %d", len(lags.revoked), at(lags.revoked, 50))
	b.row("from revocation until refused: p99", at(lags.revoked, 99))
	b.row("from creation until accepted: p99 of %d", len(lags.created), at(lags.created, 99))
	calm, stirred := at(quiet, 50), at(busy, 50)
	b.row("other keys' p99.9 at %d checks/s, no changes (median round)", steady.Rate, calm)
	b.row("other keys' p99.9, with 20 changes per second (median round)", stirred)
	b.row("ratio of the two", fmt.Sprintf("%.2f", float64(stirred)/float64(calm)))
	return c.Stop()
}

// changeRounds is the number of rounds; every other one has changes.
const changeRounds = 10

type changeLags struct {
	revoked, created []time.Duration
	err              error
}

func at(all []time.Duration, p float64) time.Duration {
	o := loadgen.Outcome{Latencies: slices.Sorted(slices.Values(all))}
	return o.Percentile(p).Round(10 * time.Microsecond)
}

// change alternately revokes and creates keys, ten of each per second, and
// waits until each change is in force. Half of the revoked keys were checked
// before, and are therefore cached. Without changes it makes the same number of
// checks of a key that stays.
func (b *bench) change(ctx context.Context, prober *loadgen.Client, from int, changing bool) (l changeLags) {
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
			_, l.err = awaitAnswer(prober, b.large.Secrets[len(b.large.Secrets)-1], true, time.Now())
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

func (b *bench) revokeOne(prober *loadgen.Client, n int) (time.Duration, error) {
	if n%4 == 0 {
		if ok, err := prober.Allowed(context.Background(), 0, credential.Bearer(b.large.Secrets[n])); err != nil || !ok {
			return 0, fmt.Errorf("key %d before it was revoked: %v, %w", n, ok, err)
		}
	}
	if err := credential.AppendRevocation(b.large.Path, b.large.Records[n]); err != nil {
		return 0, err
	}
	return awaitAnswer(prober, b.large.Secrets[n], false, time.Now())
}

func (b *bench) createOne(prober *loadgen.Client) (time.Duration, error) {
	_, secret, err := b.large.Journal.Create(context.Background(), store.KeyParams{
		Name: "made under load", Prefix: credential.KeyPrefix, Scopes: &[]string{"items:read", "items:write"},
	})
	if err != nil {
		return 0, err
	}
	return awaitAnswer(prober, secret.Reveal(), true, time.Now())
}

// awaitAnswer returns the time since the change was reported as done.
func awaitAnswer(prober *loadgen.Client, key string, want bool, began time.Time) (time.Duration, error) {
	for time.Since(began) < 10*time.Second {
		ok, err := prober.Allowed(context.Background(), 0, credential.Bearer(key))
		if err != nil {
			return 0, err
		}
		if ok == want {
			return time.Since(began), nil
		}
	}
	return 0, errors.New("a change was not in force after ten seconds")
}
