package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
)

// overHTTP compares the processor time of a check over HTTP with that of a bare
// net/http handler, which this program runs in another process.
func (b *bench) overHTTP() error {
	dir := filepath.Join(b.dir, "http")
	c, err := process.Start(process.Config{Binary: b.binary, Dir: dir, KeyFile: b.small.Path, Procs: 1})
	if err != nil {
		return err
	}
	bare, err := process.StartSelf("-bare", filepath.Join(b.dir, "bare.sock"))
	if err != nil {
		return err
	}
	ask := loadgen.NginxCheck(credential.AnyKey(b.small.Secrets))
	var ratios, costs, bares []float64
	for range b.rounds {
		check, err := perRequest(c, filepath.Join(dir, process.HTTPSocket), b.span, ask)
		if err != nil {
			return err
		}
		nothing, err := perRequest(bare, bare.Socket, b.span, ask)
		if err != nil {
			return err
		}
		costs, bares, ratios = append(costs, check), append(bares, nothing), append(ratios, check/nothing)
	}
	b.row("server CPU per check over HTTP (µs)", fmt.Sprintf("%.1f", median(costs)))
	b.row("bare net/http, 200 with one header (µs)", fmt.Sprintf("%.1f", median(bares)))
	b.row("ratio of the two (median of %d rounds)", b.rounds, fmt.Sprintf("%.2f", median(ratios)))
	bare.Kill()
	return c.Stop()
}

// perRequest returns the server's processor time per request at saturation, in
// microseconds. The socket is that of its HTTP listener.
func perRequest(c *process.Child, socket string, span time.Duration, ask func() *http.Request) (float64, error) {
	before, err := c.CPU()
	if err != nil {
		return 0, err
	}
	total, err := loadgen.SaturateHTTP(socket, span, ask)
	if err != nil {
		return 0, err
	}
	after, err := c.CPU()
	return micros(after-before) / float64(total), err
}
