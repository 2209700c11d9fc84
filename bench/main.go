// Bench measures bin/keyward from outside: how fast it starts, what a key
// costs in memory, what a check costs in processor time with a thousand and
// with a million keys and by kind of credential, how soon a change of the key
// file is in force, what reloading it does to checks under way, and what a
// flood of wrong passwords does to key checks; and, asked for by name, whether
// memory and times stay as they are over ten minutes at saturation.
// Ratios are of rounds that alternate in one run, since machines are noisy.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	b := &bench{report: &report{out: os.Stdout}}
	flag.StringVar(&b.binary, "binary", "bin/keyward", "the program to measure")
	flag.IntVar(&b.few, "few", 1_000, "keys in the small file")
	flag.IntVar(&b.many, "many", 1_000_000, "keys in the large file")
	flag.IntVar(&b.rounds, "rounds", 11, "alternating rounds of a comparison")
	flag.DurationVar(&b.span, "span", time.Second, "length of a round")
	flag.IntVar(&b.guesses, "guesses", 100_000, "wrong passwords")
	only := flag.String("only", "", "measure one part: checks, envoy, start, compare, changes, reload, credentials, http, passwords or soak")
	flag.StringVar(&b.cases, "cases", "", "for checks: measure only the baseline and cases whose name contains this")
	flag.StringVar(&b.against, "against", "", "for checks: other builds of the program to measure too, separated by commas")
	flag.StringVar(&b.writeTo, "write", "", "also write the tables and a chart into this directory, as "+tablesFile+" and "+chartFile)
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
	binary          string
	few, many       int
	rounds, guesses int
	span            time.Duration
	cases, against  string
	profileTo       string
	writeTo         string
	soakFor         time.Duration
	report          *report
	dir             string
	small, large    *keyFile
	cached          []kindOfCredential // tokens and passwords that a server is to have in its cache
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
	if b.small, err = makeKeys(b.dir, b.few); err != nil {
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
	return b.write(b.writeTo)
}

// part is what can be measured by itself.
type part struct {
	name    string
	title   string // of its table, or of the first
	large   bool   // it needs many keys
	alone   bool   // only when asked for by name
	measure func() error
}

func (b *bench) parts() []part {
	return []part{
		{name: "profile", large: true, alone: true, measure: b.profile},
		{name: "soak", large: true, alone: true, measure: b.soak},
		{name: "checks", large: true, measure: b.checks},
		{name: "envoy", measure: b.throughEnvoy},
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
		b.report.begin("Keys", "value")
		if err := b.makeLarge(); err != nil {
			return err
		}
	}
	b.report.begin(p.title, "value")
	return p.measure()
}

func (b *bench) makeLarge() (err error) {
	began := time.Now()
	if b.large, err = makeKeys(b.dir, b.many); err != nil {
		return fmt.Errorf("making %d keys: %w", b.many, err)
	}
	b.row("import of %s keys, including their creation", count(b.many), time.Since(began).Round(time.Millisecond))
	return nil
}
