package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/bench/report"
)

// scenario is a build of Keyward with keys, a configuration, and the cases to
// measure.
type scenario struct {
	binary, build string // build distinguishes the names of several builds; "" for the program itself
	keys          *credential.KeyFile
	procs         int
	more          string            // additional configuration
	warm          []credential.Kind // cached before the measurement
	cases         []*target
	child         *process.Child
}

// scenarios returns those with a requested case.
func (b *bench) scenarios() ([]*scenario, error) {
	var all []*scenario
	for i, binary := range append([]string{b.binary}, strings.FieldsFunc(b.against, func(r rune) bool { return r == ',' })...) {
		build := ""
		if i > 0 {
			build = " (" + filepath.Base(binary) + ")"
		}
		many, few := b.casesOf(b.large, build), b.casesOf(b.small, build)
		all = append(all,
			&scenario{binary: binary, build: build, keys: b.large, procs: 1, cases: many},
			&scenario{binary: binary, build: build, keys: b.small, procs: 1, cases: few},
			&scenario{binary: binary, build: build, keys: b.large, procs: 2, cases: b.twoCoreCases(many, build)})
		all = append(all, &scenario{binary: binary, build: build, keys: b.small, procs: 1, more: limitedConfig, cases: b.limitedCases(few, build)})
		cached, err := b.cachedCredentials(build)
		if err != nil {
			return nil, err
		}
		cached.binary = binary
		all = append(all, cached)
	}
	return slices.DeleteFunc(all, func(s *scenario) bool { return len(s.cases) == 0 }), nil
}

// start runs the server and warms its cache.
func (s *scenario) start(dir string) (err error) {
	if s.child, err = process.Start(process.Config{Binary: s.binary, Dir: dir, KeyFile: s.keys.Path, Procs: s.procs, More: s.more}); err != nil {
		return err
	}
	for _, c := range s.cases {
		c.child = s.child
	}
	if len(s.warm) == 0 {
		return nil
	}
	cl, err := loadgen.Dial(s.child.Socket, 1)
	if err != nil {
		return err
	}
	defer cl.Close()
	return (&pinned{s.child, cl}).warm(s.warm)
}

// selected returns the requested cases.
func (b *bench) selected(cases ...*target) []*target {
	return slices.DeleteFunc(cases, func(s *target) bool { return !strings.Contains(s.name, b.cases) })
}

// casesOf returns the cases of a server with those keys.
func (b *bench) casesOf(keys *credential.KeyFile, build string) []*target {
	known := &target{name: "known key of " + report.Count(len(keys.Secrets)) + build, ask: loadgen.RequestSource(credential.Bearers(keys.Secrets), loadgen.Allow)}
	if keys != b.large {
		// The console's cookie is cut from what the upstream gets, if both have one host.
		const cookies = "theme=dark; __Host-keyward-console=kwt_5Ck0PzU1ZtQm3r9vXy7bNdEfGhJkLmNoPqRsTuVwXyZ; lang=en"
		cookie := &target{name: known.name + ", with the console's cookie", ask: loadgen.CookieRequestSource(credential.Bearers(keys.Secrets), cookies, loadgen.Allow), than: known}
		return b.selected(known, cookie)
	}
	return b.selected(known,
		&target{name: "unknown key, with " + report.Count(b.many) + " keys" + build, ask: loadgen.RequestSource(credential.UnknownKeys(), loadgen.Deny)},
		&target{name: "junk, with " + report.Count(b.many) + " keys" + build, ask: loadgen.RequestSource([]string{"Bearer kw_junk", "Bearer x"}, loadgen.Deny)})
}

// twoCoreCases returns the first of those cases again, for a server with two
// cores, one of which it shares with the client.
func (b *bench) twoCoreCases(oneCore []*target, build string) []*target {
	name := "known key of " + report.Count(len(b.large.Secrets))
	for _, s := range oneCore {
		if s.name == name+build {
			return b.selected(&target{name: name + ", GOMAXPROCS 2" + build, ask: s.ask, than: s})
		}
	}
	return nil
}

// limitedConfig has limits that are counted and never reached, per key and per
// address with failed attempts.
const limitedConfig = `
rate_limits: {store: memory, api_key: 900000000/h, failed: 900000000/h}
`

// limitedCases returns the case of a few known keys with rate limits.
func (b *bench) limitedCases(unlimited []*target, build string) []*target {
	limited := &target{name: "known key of " + report.Count(b.few) + ", rate limited" + build, ask: loadgen.RequestSource(credential.Bearers(b.small.Secrets), loadgen.Allow)}
	if len(unlimited) > 0 {
		limited.than = unlimited[0]
	}
	return b.selected(limited)
}

const cachedConfig = `
users: {file: %[1]s/credential-users.jsonl}
credentials: {basic: true}
jwt:
- {issuer: bench, algorithms: [RS256], jwks_file: %[1]s/jwks.json}
- {name: own, issuer: %[2]q, audiences: [%[3]q], keyward: true, jwks_file: %[1]s/jwks.json}
revocations: {file: %[1]s/revocations.jsonl}
clients: {file: %[1]s/clients.jsonl}
`

// cachedCredentials returns a server with few keys, and with tokens and
// passwords that are all in its cache.
func (b *bench) cachedCredentials(build string) (*scenario, error) {
	suffix := " in the cache, with " + report.Count(b.few) + " keys" + build
	token, password := &target{name: "JWT (RS256)" + suffix}, &target{name: "password" + suffix}
	own := &target{name: "token of Keyward's issuer" + suffix, than: token}
	s := &scenario{build: build, keys: b.small, procs: 1, more: fmt.Sprintf(cachedConfig, b.dir, credential.OwnIssuer, credential.Audience), cases: b.selected(token, password, own)}
	if len(s.cases) == 0 {
		return s, nil // making them takes seconds
	}
	if b.cached == nil {
		if err := b.makeCached(); err != nil {
			return nil, err
		}
	}
	token.ask, password.ask = loadgen.RequestSource(b.cached[0].Values, loadgen.Allow), loadgen.RequestSource(b.cached[1].Values, loadgen.Allow)
	own.ask = loadgen.RequestSource(b.cached[2].Values, loadgen.Allow)
	s.warm = b.cached
	return s, nil
}

// makeCached makes tokens and passwords, and the files that cachedConfig names,
// once for all builds.
func (b *bench) makeCached() error {
	rs256, err := credential.NewRSASigner()
	if err != nil {
		return err
	}
	own, err := credential.NewOwnSigner()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "jwks.json"), credential.JWKS([]*credential.Signer{rs256, own}), 0o600); err != nil {
		return err
	}
	passwords, err := credential.NewPasswords(b.dir)
	if err != nil {
		return err
	}
	b.cached = []credential.Kind{{Name: "JWT", Values: rs256.Tokens}, passwords, {Name: "own token", Values: own.Tokens}}
	return nil
}
