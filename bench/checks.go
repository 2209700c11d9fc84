package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// checks compares the processor time of a check with that of a call to the
// server that looks at nothing, both at saturation: the server on one core, the
// client on the other, in rounds that alternate.
func (b *bench) checks() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	baseline, err := startBare(program, "-baseline", filepath.Join(b.dir, "baseline.sock"))
	if err != nil {
		return err
	}
	baseline.admin = clientOf(baseline.socket + adminSuffix)
	all, err := b.scenarios()
	if err != nil {
		return err
	}
	subjects := []*target{{name: "baseline: grpc-go, allows unchecked", child: baseline, ask: requestSource(bearers(b.small.secrets), allow)}}
	for i, s := range all {
		if err := s.start(filepath.Join(b.dir, fmt.Sprint("checks", i))); err != nil {
			return err
		}
		subjects = append(subjects, s.cases...)
	}
	if err := b.compareChecks(subjects, all); err != nil {
		return err
	}
	_ = baseline.cmd.Process.Kill()
	_ = baseline.cmd.Wait()
	var stopped error
	for _, s := range all {
		stopped = errors.Join(stopped, s.child.stop())
	}
	return stopped
}

// compareChecks measures and reports, with this process away from the servers' core.
func (b *bench) compareChecks(subjects []*target, all []*scenario) error {
	if err := pin(1); err != nil {
		return err
	}
	if err := b.alternate(subjects); err != nil {
		return err
	}
	b.reportChecks(subjects)
	b.report.begin("Comparisons and memory", "value")
	b.reportAgainst(subjects)
	if err := b.reportMemory(all); err != nil {
		return err
	}
	if err := b.secondOpinion(subjects); err != nil {
		return err
	}
	return unpin()
}

// target is what is measured in turn with others, and compared with the first of them.
type target struct {
	name           string
	child          *child
	ask            func() checkRequest
	than           *target   // whose processor time this one's is held against, beside the first's
	cpu            []float64 // microseconds a call, by round
	ratio          []float64 // to the first's right before and after, by round
	rate           []float64 // calls a second
	bytes, objects []float64 // allocated a call
	times          [3][]float64
}

// percentiles are those of the times between request and response.
var percentiles = [3]float64{50, 99, 99.9}

// alternate measures all of them, round by round, after one that is to warm up.
// The machine may be faster or slower a second later, so the first of them, with
// which the others are compared, is measured before and after each.
func (b *bench) alternate(subjects []*target) error {
	first := subjects[0]
	for round := range b.rounds + 1 {
		if err := first.measure(b.span); err != nil {
			return fmt.Errorf("%s: %w", first.name, err)
		}
		for _, s := range subjects[1:] {
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
	for _, s := range subjects {
		s.forgetFirst()
	}
	return nil
}

// forgetFirst drops the round that was to warm up.
func (s *target) forgetFirst() {
	for _, figures := range []*[]float64{&s.cpu, &s.ratio, &s.rate, &s.bytes, &s.objects, &s.times[0], &s.times[1], &s.times[2]} {
		if len(*figures) > 1 {
			*figures = (*figures)[1:]
		}
	}
}

// measure is one round. Reading the count of allocations allocates, too: a few bytes for each call of a long round.
func (s *target) measure(span time.Duration) error {
	bytes, objects, err := s.child.allocated()
	if err != nil {
		return err
	}
	before, err := s.child.cpu()
	if err != nil {
		return err
	}
	a, err := driver{address: "unix://" + s.child.socket, ask: s.ask, grpc: true, conns: 4, streams: 32, span: span}.run()
	if err != nil {
		return err
	}
	after, err := s.child.cpu()
	if err != nil {
		return err
	}
	moreBytes, moreObjects, err := s.child.allocated()
	calls := float64(a.count)
	s.cpu, s.rate = append(s.cpu, float64(after-before)/1e3/calls), append(s.rate, a.rate())
	s.bytes, s.objects = append(s.bytes, (moreBytes-bytes)/calls), append(s.objects, (moreObjects-objects)/calls)
	for i, p := range percentiles {
		s.times[i] = append(s.times[i], micros(a.percentile(p)))
	}
	return err
}

func (b *bench) reportChecks(subjects []*target) {
	b.report.begin("At saturation", "µs CPU", "ratio", "calls/s", "p50 µs", "p99 µs", "p99.9 µs", "objects", "bytes")
	for _, s := range subjects {
		cells := []string{s.name, fmt.Sprintf("%.2f", median(s.cpu)), fmt.Sprintf("%.3f", median(s.ratio)), fmt.Sprintf("%.0f", median(s.rate))}
		for _, times := range s.times {
			cells = append(cells, fmt.Sprintf("%.0f", median(times)))
		}
		b.report.row(append(cells, fmt.Sprintf("%.1f", median(s.objects)), fmt.Sprintf("%.0f", median(s.bytes)))...)
		b.report.bars = append(b.report.bars, bar{s.name, median(s.cpu), median(s.ratio)})
	}
}

// reportAgainst compares processor time with that of another subject but the first.
func (b *bench) reportAgainst(subjects []*target) {
	for _, s := range subjects {
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

// reportMemory says what a key takes in the processes that were measured, after all of it.
func (b *bench) reportMemory(all []*scenario) error {
	base, err := b.withoutKeys()
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.keys != b.large {
			continue
		}
		resident, err := s.child.resident()
		if err != nil {
			return err
		}
		b.row("resident bytes per key after the rounds%s, GOMAXPROCS %d (at most 400)", s.build, s.procs, (resident-base)/int64(len(s.keys.secrets)))
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }

// pin keeps this process to one core, away from the server's.
func pin(core int) error { return taskset(strconv.Itoa(core)) }

const allCores = "0-1"

func unpin() error { return taskset(allCores) }

func taskset(cores string) error {
	return exec.Command("taskset", "-a", "-p", "-c", cores, strconv.Itoa(os.Getpid())).Run()
}
