// Bench measures bin/keyward from outside: how fast it starts, how much memory
// a key takes, how much processor time a check takes with a thousand and with a
// million keys and by kind of credential, how soon a change of the key file is
// in force, how a reload affects checks in progress, and how a flood of wrong
// passwords affects key checks. On request it also measures whether memory and
// times stay stable over ten minutes at saturation. Ratios are of rounds that
// alternate within one run, since machines are noisy.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"keyward/bench/credential"
	"keyward/bench/report"
)

func main() {
	b := &bench{report: &report.Report{Out: os.Stdout}}
	flag.StringVar(&b.binary, "binary", "bin/keyward", "the program to measure")
	flag.StringVar(&b.module, "module", "bin/libkeyward.so", "for envoy: the module to measure")
	flag.IntVar(&b.few, "few", 1_000, "keys in the small file")
	flag.IntVar(&b.many, "many", 1_000_000, "keys in the large file")
	flag.IntVar(&b.rounds, "rounds", 11, "alternating rounds of a comparison")
	flag.DurationVar(&b.span, "span", time.Second, "length of a round")
	flag.IntVar(&b.guesses, "guesses", 100_000, "wrong passwords")
	only := flag.String("only", "", "measure one part: checks, envoy, start, compare, changes, reload, credentials, http, passwords or soak")
	flag.StringVar(&b.cases, "cases", "", "for checks: measure only the baseline and cases whose name contains this")
	flag.StringVar(&b.against, "against", "", "for checks: other builds of the program to measure too, separated by commas; the cases of the first build take some 2 % more, so give a build again to compare it with others")
	flag.StringVar(&b.writeTo, "write", "", "also write the tables and a chart into this directory, as "+report.TablesFile+" and "+report.ChartFile)
	flag.DurationVar(&b.soakFor, "soak", 10*time.Minute, "length of the soak")
	flag.StringVar(&b.profileTo, "profile", "", "only make a profile for the compiler and write it to this file")
	bare := flag.String("bare", "", "used by bench itself: serve HTTP at this socket and allow every request unchecked")
	baseline := flag.String("baseline", "", "used by bench itself: serve gRPC at this socket and allow every request unchecked")
	flood := flag.String("flood", "", "used by bench itself: send wrong passwords to this socket")
	tooLong := flag.Bool("too-long", false, "with -flood: send passwords that are refused before anything is hashed")
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
	binary, module  string
	few, many       int
	rounds, guesses int
	span            time.Duration
	cases, against  string
	profileTo       string
	writeTo         string
	soakFor         time.Duration
	report          *report.Report
	dir             string
	small, large    *credential.KeyFile
	cached          []credential.Kind // tokens and passwords for the server's cache
}

// run measures all parts in turn, or the one with that name.
func (b *bench) run(only string) (err error) {
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.module, err = filepath.Abs(b.module); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "keyward-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	if b.small, err = credential.NewKeyFile(b.dir, b.few); err != nil {
		return fmt.Errorf("making %d keys: %w", b.few, err)
	}
	known := false
	for _, p := range b.parts() {
		if only != p.name && (only != "" || p.alone) {
			continue
		}
		known = true
		if err := b.measure(p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if !known {
		return fmt.Errorf("there is no part %q", only)
	}
	if b.writeTo == "" {
		return nil
	}
	return b.report.Write(b.writeTo, b.rounds, b.span)
}

// part is a measurement that can run by itself.
type part struct {
	name    string
	title   string // title of its table, or of its first table
	large   bool   // needs many keys
	alone   bool   // runs only when requested by name
	measure func() error
}

func (b *bench) parts() []part {
	return []part{
		{name: "profile", large: true, alone: true, measure: b.profile},
		{name: "soak", large: true, alone: true, measure: b.soak},
		{name: "checks", large: true, measure: b.checks},
		{name: "envoy", large: true, measure: b.throughEnvoy},
		{name: "start", title: "Start and memory", large: true, measure: b.start},
		{name: "compare", title: "Few and many keys, same client library", large: true, measure: b.compare},
		{name: "changes", title: "Changes of the key file", large: true, measure: b.changes},
		{name: "reload", title: "Reload and many changes at half of saturation", large: true, measure: b.reload},
		{name: "credentials", title: "Kinds of credentials, with a client library", measure: b.credentials},
		{name: "http", title: "Over HTTP", measure: b.overHTTP},
		{name: "passwords", title: "A flood of wrong passwords", measure: b.passwords},
	}
}

func (b *bench) measure(p part) error {
	if p.large && b.large == nil {
		b.report.Begin("Keys", "value")
		if err := b.makeLarge(); err != nil {
			return err
		}
	}
	b.report.Begin(p.title, "value")
	return p.measure()
}

func (b *bench) makeLarge() (err error) {
	began := time.Now()
	if b.large, err = credential.NewKeyFile(b.dir, b.many); err != nil {
		return fmt.Errorf("making %d keys: %w", b.many, err)
	}
	b.row("import of %s keys, including their creation", report.Count(b.many), time.Since(began).Round(time.Millisecond))
	return nil
}

// row reports one figure, which is the last argument. The others are those of
// the format.
func (b *bench) row(format string, args ...any) {
	last := len(args) - 1
	b.report.Row(fmt.Sprintf(format, args[:last]...), fmt.Sprint(args[last]))
}
