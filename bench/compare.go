package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

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
	err := b.inTurn("server CPU per check at saturation", files, func(i int) (float64, error) {
		return perCheck(children[i], clients[i], load{workers: 128, span: b.span, pick: anyKey(files[i].secrets)})
	})
	if err != nil {
		return err
	}
	err = b.inTurn("median time per check, one at a time", files, func(i int) (float64, error) {
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
func (b *bench) inTurn(what string, files [2]*keyFile, measure func(i int) (float64, error)) error {
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
		b.row("%s, %s keys (µs)", what, count(len(keys.secrets)), fmt.Sprintf("%.1f", median(values[i])))
	}
	b.row("ratio of the two (medians of %d rounds)", b.rounds, fmt.Sprintf("%.2f", median(ratios)))
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
