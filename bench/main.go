// Bench measures bin/keyward from outside: how fast it starts, what a key
// costs in memory, what a check costs in processor time with a thousand and
// with a million keys, and how soon a change of the key file is in force.
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
	binary := flag.String("binary", "bin/keyward", "the program to measure")
	few := flag.Int("few", 1_000, "keys in the small file")
	many := flag.Int("many", 1_000_000, "keys in the large file")
	rounds := flag.Int("rounds", 11, "alternating rounds of a comparison")
	span := flag.Duration("span", time.Second, "length of a round")
	flag.Parse()
	if err := run(*binary, *few, *many, *rounds, *span); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(binary string, few, many, rounds int, span time.Duration) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "keyward-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Printf("%-58s %12s\n", "measured", "value")
	small, err := makeKeys(dir, few)
	if err != nil {
		return fmt.Errorf("making %d keys: %w", few, err)
	}
	began := time.Now()
	large, err := makeKeys(dir, many)
	if err != nil {
		return fmt.Errorf("making %d keys: %w", many, err)
	}
	row("import of %s keys, with making them", count(many), time.Since(began).Round(time.Millisecond))
	b := &bench{binary, dir, small, large}
	return errors.Join(b.start(), b.compare(rounds, span), b.changes(10*span))
}

type bench struct {
	binary, dir  string
	small, large *keyFile
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
	if _, err := cl.run(context.Background(), load{workers: 64, span: 10 * time.Second, pick: anyOf(b.large.secrets)}); err != nil {
		return err
	}
	used, err := c.resident()
	row("resident bytes a key after ten seconds of saturation", (used-base)/int64(n))
	return errors.Join(err, c.stop())
}

func anyOf(secrets []string) func() string {
	return func() string { return secrets[rand.IntN(len(secrets))] }
}

// compare measures a check's processor time in turn with few and many keys.
func (b *bench) compare(rounds int, span time.Duration) error {
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
	err := inTurn("server CPU a check at saturation", files, rounds, func(i int) (float64, error) {
		return perCheck(children[i], clients[i], load{workers: 128, span: span, pick: anyOf(files[i].secrets)})
	})
	if err != nil {
		return err
	}
	err = inTurn("median time of a check, one after the other", files, rounds, func(i int) (float64, error) {
		o, err := clients[i].run(context.Background(), load{workers: 1, span: span, pick: anyOf(files[i].secrets)})
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
