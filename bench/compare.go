package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/bench/report"
)

// compare measures the processor time of a check with few and with many keys in
// turn.
func (b *bench) compare() error {
	var children [2]*process.Child
	var clients [2]*loadgen.Client
	files := [2]*credential.KeyFile{b.small, b.large}
	for i, keys := range files {
		var err error
		if children[i], err = process.Start(process.Config{Binary: b.binary, Dir: filepath.Join(b.dir, fmt.Sprint("c", i)), KeyFile: keys.Path, Procs: 1}); err != nil {
			return err
		}
		if clients[i], err = loadgen.Dial(children[i].Socket, 4); err != nil {
			return err
		}
	}
	err := b.inTurn("server CPU per check at saturation", files, func(i int) (float64, error) {
		return perCheck(children[i], clients[i], loadgen.Load{Workers: 128, Span: b.span, Pick: credential.AnyKey(files[i].Secrets)})
	})
	if err != nil {
		return err
	}
	err = b.inTurn("median time per check, one at a time", files, func(i int) (float64, error) {
		o, err := clients[i].Run(context.Background(), loadgen.Load{Workers: 1, Span: b.span, Pick: credential.AnyKey(files[i].Secrets)})
		if err != nil {
			return 0, err
		}
		return float64(o.Percentile(50)) / 1e3, nil
	})
	if err != nil {
		return err
	}
	for i := range clients {
		clients[i].Close()
	}
	return errors.Join(children[0].Stop(), children[1].Stop())
}

// inTurn alternately measures with few and with many keys. It prints the
// medians in microseconds, and the median of the ratios.
func (b *bench) inTurn(what string, files [2]*credential.KeyFile, measure func(i int) (float64, error)) error {
	var values [2][]float64
	var ratios []float64
	for n := range b.rounds {
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
		b.row("%s, %s keys (µs)", what, report.Count(len(keys.Secrets)), fmt.Sprintf("%.1f", median(values[i])))
	}
	b.row("ratio of the two (medians of %d rounds)", b.rounds, fmt.Sprintf("%.2f", median(ratios)))
	return nil
}

// perCheck returns the child's processor time per check, in microseconds.
func perCheck(c *process.Child, cl *loadgen.Client, l loadgen.Load) (float64, error) {
	before, err := c.CPU()
	if err != nil {
		return 0, err
	}
	o, err := cl.Run(context.Background(), l)
	if err != nil {
		return 0, err
	}
	after, err := c.CPU()
	return float64(after-before) / 1e3 / float64(len(o.Latencies)), err
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
