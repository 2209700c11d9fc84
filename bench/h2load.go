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
)

// secondOpinion has h2load, which is nobody's of ours, ask about one key, where
// it is installed (Debian, Ubuntu: apt-get install nghttp2-client).
func (b *bench) secondOpinion(subjects []*target) error {
	baseline, keyward := subjects[0], firstKnown(subjects)
	if keyward == nil {
		return nil
	}
	b.report.begin("With h2load, always the same key", "value")
	program, err := exec.LookPath("h2load")
	if err != nil {
		b.row("not measured: h2load is not installed", "-")
		return nil
	}
	q := keyward.ask()
	file := filepath.Join(b.dir, "h2load.body")
	if err := os.WriteFile(file, q.body, 0o600); err != nil {
		return err
	}
	// h2load does not look at what an answer says.
	good := driver{address: "unix://" + keyward.child.socket, ask: func() checkRequest { return q }, grpc: true, conns: 1, streams: 1, span: b.span / 10}
	if _, err := good.run(); err != nil {
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
		if round > 0 { // the first is to warm up
			cpu[0], cpu[1], ratios = append(cpu[0], now[0]), append(cpu[1], now[1]), append(ratios, now[1]/now[0])
		}
	}
	b.row("µs CPU, %s", baseline.name, fmt.Sprintf("%.2f", median(cpu[0])))
	b.row("µs CPU, %s", keyward.name, fmt.Sprintf("%.2f", median(cpu[1])))
	b.row("ratio of the two (median of %d rounds)", b.rounds, fmt.Sprintf("%.3f", median(ratios)))
	return nil
}

// firstKnown is the first case of Keyward's with requests that are allowed, on one core.
func firstKnown(subjects []*target) *target {
	for _, s := range subjects[1:] {
		if s.than == nil && s.ask().want == allow {
			return s
		}
	}
	return nil
}

// What h2load says at its end: how many of the requests got an answer with a status of 2xx, and how many did not.
var h2loadCounts = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)

// h2load is the child's processor time a call, in microseconds.
func (b *bench) h2load(program string, c *child, body string) (float64, error) {
	before, err := c.cpu()
	if err != nil {
		return 0, err
	}
	out, err := exec.Command(program, "-c", "4", "-m", "32", "-D", fmt.Sprintf("%dms", b.span.Milliseconds()), "-d", body,
		"-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "grpc-timeout: 250m",
		"-B", "unix:"+c.socket, "http://keyward"+checkPath).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	after, err := c.cpu()
	if err != nil {
		return 0, err
	}
	counts := h2loadCounts.FindSubmatch(out)
	if counts == nil {
		return 0, errors.New("its summary has no counts")
	}
	succeeded, err := strconv.Atoi(string(counts[1]))
	if err != nil || succeeded == 0 || string(counts[2]) != "0" {
		return 0, fmt.Errorf("calls failed: %s", counts[0])
	}
	return float64(after-before) / 1e3 / float64(succeeded), nil
}
