package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/bench/report"
)

// checks compares the processor time of a check with that of a call to a server
// that allows every request unchecked, both at saturation. The server has one
// core and the client the other, and their rounds alternate.
func (b *bench) checks() error {
	baseline, err := process.StartSelf("-baseline", filepath.Join(b.dir, "baseline.sock"))
	if err != nil {
		return err
	}
	baseline.Admin = process.HTTPClient(baseline.Socket + adminSuffix)
	all, err := b.scenarios()
	if err != nil {
		return err
	}
	targets := []*target{{name: "baseline: grpc-go, allows unchecked", child: baseline, ask: loadgen.RequestSource(credential.Bearers(b.small.Secrets), loadgen.Allow)}}
	for i, s := range all {
		if err := s.start(filepath.Join(b.dir, fmt.Sprint("checks", i))); err != nil {
			return err
		}
		targets = append(targets, s.cases...)
	}
	if err := b.compareChecks(targets, all); err != nil {
		return err
	}
	baseline.Kill()
	var stopped error
	for _, s := range all {
		stopped = errors.Join(stopped, s.child.Stop())
	}
	return stopped
}

// compareChecks measures and reports, with this process pinned to a core that
// no server uses.
func (b *bench) compareChecks(targets []*target, all []*scenario) error {
	if err := process.Pin(1); err != nil {
		return err
	}
	if err := b.alternate(targets); err != nil {
		return err
	}
	b.reportChecks(targets)
	b.report.Begin("Comparisons and memory", "value")
	b.reportAgainst(targets)
	if err := b.reportMemory(all); err != nil {
		return err
	}
	if err := b.secondOpinion(targets); err != nil {
		return err
	}
	return process.Unpin()
}

// target is a case that is measured in turn with others, and compared with the
// first of them.
type target struct {
	name           string
	child          *process.Child
	ask            func() loadgen.Request
	than           *target   // another target to compare the processor time with, besides the first
	cpu            []float64 // microseconds per call, by round
	ratio          []float64 // to the first target's right before and after, by round
	rate           []float64 // calls per second
	bytes, objects []float64 // allocated per call
	times          [3][]float64
}

// percentiles are those of the time between request and response.
var percentiles = [3]float64{50, 99, 99.9}

// alternate measures all targets, round by round, after one round of warm-up.
// The machine may be faster or slower a second later, so the first target, with
// which the others are compared, is measured before and after each.
func (b *bench) alternate(targets []*target) error {
	first := targets[0]
	for round := range b.rounds + 1 {
		if err := first.measure(b.span); err != nil {
			return fmt.Errorf("%s: %w", first.name, err)
		}
		for _, s := range targets[1:] {
			for _, measured := range []*target{s, first} {
				if err := measured.measure(b.span); err != nil {
					return fmt.Errorf("%s: %w", measured.name, err)
				}
			}
			beside := first.cpu[len(first.cpu)-2:]
			s.ratio = append(s.ratio, s.cpu[round]/((beside[0]+beside[1])/2))
		}
	}
	first.ratio = []float64{1}
	for _, s := range targets {
		s.forgetFirst()
	}
	return nil
}

// forgetFirst drops the warm-up round.
func (s *target) forgetFirst() {
	for _, figures := range []*[]float64{&s.cpu, &s.ratio, &s.rate, &s.bytes, &s.objects, &s.times[0], &s.times[1], &s.times[2]} {
		if len(*figures) > 1 {
			*figures = (*figures)[1:]
		}
	}
}

// measure measures one round. Reading the allocation metrics allocates too: a
// few bytes per call of a long round.
func (s *target) measure(span time.Duration) error {
	bytes, objects, err := s.child.Allocated()
	if err != nil {
		return err
	}
	before, err := s.child.CPU()
	if err != nil {
		return err
	}
	a, err := loadgen.Driver{Address: "unix://" + s.child.Socket, Ask: s.ask, GRPC: true, Conns: 4, Streams: 32, Span: span}.Run()
	if err != nil {
		return err
	}
	after, err := s.child.CPU()
	if err != nil {
		return err
	}
	moreBytes, moreObjects, err := s.child.Allocated()
	calls := float64(a.Count)
	s.cpu, s.rate = append(s.cpu, float64(after-before)/1e3/calls), append(s.rate, a.Rate())
	s.bytes, s.objects = append(s.bytes, (moreBytes-bytes)/calls), append(s.objects, (moreObjects-objects)/calls)
	for i, p := range percentiles {
		s.times[i] = append(s.times[i], micros(a.Percentile(p)))
	}
	return err
}

func (b *bench) reportChecks(targets []*target) {
	b.report.Begin("At saturation", "µs CPU", "ratio", "calls/s", "p50 µs", "p99 µs", "p99.9 µs", "objects", "bytes")
	for _, s := range targets {
		cells := []string{s.name, fmt.Sprintf("%.2f", median(s.cpu)), fmt.Sprintf("%.3f", median(s.ratio)), fmt.Sprintf("%.0f", median(s.rate))}
		for _, times := range s.times {
			cells = append(cells, fmt.Sprintf("%.0f", median(times)))
		}
		b.report.Row(append(cells, fmt.Sprintf("%.1f", median(s.objects)), fmt.Sprintf("%.0f", median(s.bytes)))...)
		b.report.Bars = append(b.report.Bars, report.Bar{Name: s.name, Value: median(s.cpu), Ratio: median(s.ratio)})
	}
}

// reportAgainst compares processor times with those of a target other than the
// first.
func (b *bench) reportAgainst(targets []*target) {
	for _, s := range targets {
		if s.than == nil || len(s.than.ratio) == 0 {
			continue
		}
		var ratios []float64
		for round, ratio := range s.ratio {
			ratios = append(ratios, ratio/s.than.ratio[round])
		}
		b.row("CPU of %s, relative to %s (at most 1.15)", s.name, s.than.name, fmt.Sprintf("%.2f", median(ratios)))
	}
}

// reportMemory reports the memory per key of the measured processes, after all
// rounds.
func (b *bench) reportMemory(all []*scenario) error {
	base, err := b.withoutKeys()
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.keys != b.large {
			continue
		}
		resident, err := s.child.Resident()
		if err != nil {
			return err
		}
		b.row("resident bytes per key after the rounds%s, GOMAXPROCS %d (at most 400)", s.build, s.procs, (resident-base)/int64(len(s.keys.Secrets)))
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }
