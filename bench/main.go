// Bench measures bin/keyward from outside: how fast it starts, what a key
// costs in memory, what a check costs in processor time with a thousand and
// with a million keys and by kind of credential, how soon a change of the key
// file is in force, and what a flood of wrong passwords does to key checks.
// Ratios are of rounds that alternate in one run, since machines are noisy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "bin/keyward", "the program to measure")
	flag.IntVar(&b.few, "few", 1_000, "keys in the small file")
	flag.IntVar(&b.many, "many", 1_000_000, "keys in the large file")
	flag.IntVar(&b.rounds, "rounds", 11, "alternating rounds of a comparison")
	flag.DurationVar(&b.span, "span", time.Second, "length of a round")
	flag.IntVar(&b.guesses, "guesses", 100_000, "wrong passwords")
	only := flag.String("only", "", "measure one part: checks, envoy, start, compare, changes, credentials, http or passwords")
	flag.StringVar(&b.cases, "cases", "", "of checks: beside the baseline only those whose name holds this")
	flag.StringVar(&b.against, "against", "", "of checks: other builds of the program to measure beside it, with commas between")
	flag.StringVar(&b.profileTo, "profile", "", "make a profile for the compiler and write it to this file, and measure nothing")
	bare := flag.String("bare", "", "for bench itself: serve HTTP at this socket and look at nothing")
	baseline := flag.String("baseline", "", "for bench itself: serve gRPC at this socket and look at nothing")
	flood := flag.String("flood", "", "for bench itself: send wrong passwords to this socket")
	tooLong := flag.Bool("too-long", false, "with -flood: such as are refused before anything is hashed")
	flag.Parse()
	if b.profileTo != "" {
		*only = "profile"
	}
	measure := func() error { return b.run(*only) }
	if *bare != "" {
		measure = func() error { return runBare(*bare) }
	}
	if *baseline != "" {
		measure = func() error { return runBaseline(*baseline) }
	}
	if *flood != "" {
		measure = func() error { return runFlood(*flood, b.guesses, *tooLong) }
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	binary          string
	few, many       int
	rounds, guesses int
	span            time.Duration
	cases, against  string
	profileTo       string
	dir             string
	small, large    *keyFile
}

// run measures all parts in turn, or the one of that name.
func (b *bench) run(only string) (err error) {
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "keyward-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	fmt.Printf("%-58s %12s\n", "measured", "value")
	if b.small, err = makeKeys(b.dir, b.few); err != nil {
		return fmt.Errorf("making %d keys: %w", b.few, err)
	}
	known := false
	for _, part := range []struct {
		name    string
		large   bool // it needs many keys
		measure func() error
	}{
		{"profile", true, b.profile}, {"checks", true, b.checks}, {"envoy", false, b.throughEnvoy}, {"start", true, b.start}, {"compare", true, b.compare}, {"changes", true, b.changes},
		{"credentials", false, b.credentials}, {"http", false, b.overHTTP}, {"passwords", false, b.passwords},
	} {
		if only != part.name && (only != "" || part.name == "profile") {
			continue
		}
		known = true
		if part.large && b.large == nil {
			if err := b.makeLarge(); err != nil {
				return err
			}
		}
		if err := part.measure(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	if !known {
		return fmt.Errorf("no part is called %q", only)
	}
	return nil
}

func (b *bench) makeLarge() (err error) {
	began := time.Now()
	if b.large, err = makeKeys(b.dir, b.many); err != nil {
		return fmt.Errorf("making %d keys: %w", b.many, err)
	}
	row("import of %s keys, with making them", count(b.many), time.Since(began).Round(time.Millisecond))
	return nil
}

func row(format string, args ...any) {
	last := len(args) - 1
	fmt.Printf("%-58s %12v\n", fmt.Sprintf(format, args[:last]...), args[last])
}

func count(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	default:
		return fmt.Sprint(n)
	}
}

// start measures the start on one core, and memory before and after every key was used.
func (b *bench) start() error {
	empty, err := startChild(b.binary, filepath.Join(b.dir, "a"), b.small, 1)
	if err != nil {
		return err
	}
	base, err := empty.resident()
	if err := errors.Join(err, empty.stop()); err != nil {
		return err
	}
	c, err := startChild(b.binary, filepath.Join(b.dir, "b"), b.large, 1)
	if err != nil {
		return err
	}
	n := len(b.large.secrets)
	row("ready on one core with %s keys", count(n), c.ready.Round(time.Millisecond))
	idle, err := c.resident()
	if err != nil {
		return err
	}
	row("resident bytes a key once ready (%d MiB without keys)", base>>20, (idle-base)/int64(n))
	cl, err := dial(c, 4)
	if err != nil {
		return err
	}
	defer cl.close()
	if _, err := cl.run(context.Background(), load{workers: 64, span: 10 * time.Second, pick: anyKey(b.large.secrets)}); err != nil {
		return err
	}
	used, err := c.resident()
	row("resident bytes a key after ten seconds of saturation", (used-base)/int64(n))
	return errors.Join(err, c.stop())
}

func anyOf(values []string) func() string {
	return func() string { return values[rand.IntN(len(values))] }
}

// anyKey picks one as the value of Authorization.
func anyKey(secrets []string) func() string {
	pick := anyOf(secrets)
	return func() string { return bearer(pick()) }
}

// compare measures a check's processor time in turn with few and many keys.
func (b *bench) compare() error {
	var children [2]*child
	var clients [2]*client
	files := [2]*keyFile{b.small, b.large}
	for i, keys := range files {
		var err error
		if children[i], err = startChild(b.binary, filepath.Join(b.dir, fmt.Sprint("c", i)), keys, 1); err != nil {
			return err
		}
		if clients[i], err = dial(children[i], 4); err != nil {
			return err
		}
	}
	err := inTurn("server CPU a check at saturation", files, b.rounds, func(i int) (float64, error) {
		return perCheck(children[i], clients[i], load{workers: 128, span: b.span, pick: anyKey(files[i].secrets)})
	})
	if err != nil {
		return err
	}
	err = inTurn("median time of a check, one after the other", files, b.rounds, func(i int) (float64, error) {
		o, err := clients[i].run(context.Background(), load{workers: 1, span: b.span, pick: anyKey(files[i].secrets)})
		if err != nil {
			return 0, err
		}
		return float64(o.percentile(50)) / 1e3, nil
	})
	if err != nil {
		return err
	}
	for i := range clients {
		clients[i].close()
	}
	return errors.Join(children[0].stop(), children[1].stop())
}

// inTurn measures with few and with many keys, over and over in turn, and
// prints the medians in microseconds and that of the ratios.
func inTurn(what string, files [2]*keyFile, rounds int, measure func(i int) (float64, error)) error {
	var values [2][]float64
	var ratios []float64
	for n := range rounds {
		for i := range files {
			v, err := measure(i)
			if err != nil {
				return err
			}
			values[i] = append(values[i], v)
		}
		ratios = append(ratios, values[1][n]/values[0][n])
	}
	for i, keys := range files {
		row("%s, %s keys (µs)", what, count(len(keys.secrets)), fmt.Sprintf("%.1f", median(values[i])))
	}
	row("ratio of the two (medians of %d rounds)", rounds, fmt.Sprintf("%.2f", median(ratios)))
	return nil
}

// perCheck is the child's processor time a check, in microseconds.
func perCheck(c *child, cl *client, l load) (float64, error) {
	before, err := c.cpu()
	if err != nil {
		return 0, err
	}
	o, err := cl.run(context.Background(), l)
	if err != nil {
		return 0, err
	}
	after, err := c.cpu()
	return float64(after-before) / 1e3 / float64(len(o.latencies)), err
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
