package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"keyward/bench/loadgen"
	"keyward/bench/process"
)

// secondOpinion measures checks of one key with h2load, an independent client,
// if it is installed (Debian, Ubuntu: apt-get install nghttp2-client).
func (b *bench) secondOpinion(targets []*target) error {
	baseline, keyward := targets[0], firstKnown(targets)
	if keyward == nil {
		return nil
	}
	b.report.Begin("With h2load, always the same key", "value")
	program, err := exec.LookPath("h2load")
	if err != nil {
		b.row("not measured: h2load is not installed", "-")
		return nil
	}
	q := keyward.ask()
	file := filepath.Join(b.dir, "h2load.body")
	if err := os.WriteFile(file, q.Body, 0o600); err != nil {
		return err
	}
	// h2load does not check what a reply says.
	good := loadgen.Driver{Address: "unix://" + keyward.child.Socket, Ask: func() loadgen.Request { return q }, GRPC: true, Conns: 1, Streams: 1, Span: b.span / 10}
	if _, err := good.Run(); err != nil {
		return err
	}
	var cpu [2][]float64
	var ratios []float64
	for round := range b.rounds + 1 {
		var now [2]float64
		for i, s := range []*target{baseline, keyward} {
			if now[i], err = b.h2load(program, s.child, file); err != nil {
				return fmt.Errorf("h2load: %w", err)
			}
		}
		if round > 0 { // the first round is a warm-up
			cpu[0], cpu[1], ratios = append(cpu[0], now[0]), append(cpu[1], now[1]), append(ratios, now[1]/now[0])
		}
	}
	b.row("µs CPU, %s", baseline.name, fmt.Sprintf("%.2f", median(cpu[0])))
	b.row("µs CPU, %s", keyward.name, fmt.Sprintf("%.2f", median(cpu[1])))
	b.row("ratio of the two (median of %d rounds)", b.rounds, fmt.Sprintf("%.3f", median(ratios)))
	return nil
}

// firstKnown returns Keyward's first case on one core whose requests are
// allowed.
func firstKnown(targets []*target) *target {
	for _, s := range targets[1:] {
		if s.than == nil && s.ask().Want == loadgen.Allow {
			return s
		}
	}
	return nil
}

// h2loadCounts matches h2load's summary: how many requests got a reply with a
// 2xx status, and how many did not.
var h2loadCounts = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)

// h2load returns the child's processor time per call, in microseconds.
func (b *bench) h2load(program string, c *process.Child, body string) (float64, error) {
	before, err := c.CPU()
	if err != nil {
		return 0, err
	}
	out, err := exec.Command(program, "-c", "4", "-m", "32", "-D", fmt.Sprintf("%dms", b.span.Milliseconds()), "-d", body,
		"-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "grpc-timeout: 250m",
		"-B", "unix:"+c.Socket, "http://keyward"+loadgen.CheckPath).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	after, err := c.CPU()
	if err != nil {
		return 0, err
	}
	counts := h2loadCounts.FindSubmatch(out)
	if counts == nil {
		return 0, errors.New("h2load's summary has no counts")
	}
	succeeded, err := strconv.Atoi(string(counts[1]))
	if err != nil || succeeded == 0 || string(counts[2]) != "0" {
		return 0, fmt.Errorf("calls failed: %s", counts[0])
	}
	return float64(after-before) / 1e3 / float64(succeeded), nil
}
