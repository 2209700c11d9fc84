package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// scenario is a build of Keyward with keys and a configuration, and what is asked of it.
type scenario struct {
	binary, build string // build tells it from others by name; "" is the program itself
	keys          *keyFile
	procs         int
	more          string             // of the configuration
	warm          []kindOfCredential // to be in the cache before the measurement
	cases         []*target
	child         *child
}

// scenarios are those with a case that is asked for.
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

// start runs the server and has its credentials be known.
func (s *scenario) start(dir string) (err error) {
	if s.child, err = startChildWith(s.binary, dir, s.keys, s.procs, s.more); err != nil {
		return err
	}
	for _, c := range s.cases {
		c.child = s.child
	}
	if len(s.warm) == 0 {
		return nil
	}
	cl, err := dial(s.child, 1)
	if err != nil {
		return err
	}
	defer cl.close()
	return (&pinned{s.child, cl}).warm(s.warm)
}

// selected leaves the cases that are asked for.
func (b *bench) selected(cases ...*target) []*target {
	return slices.DeleteFunc(cases, func(s *target) bool { return !strings.Contains(s.name, b.cases) })
}

// casesOf are the cases of a server with those keys.
func (b *bench) casesOf(keys *keyFile, build string) []*target {
	known := &target{name: "known key of " + count(len(keys.secrets)) + build, ask: requestSource(bearers(keys.secrets), allow)}
	if keys != b.large {
		return b.selected(known)
	}
	return b.selected(known,
		&target{name: "unknown key, with " + count(b.many) + " keys" + build, ask: requestSource(unknownKeys(), deny)},
		&target{name: "junk, with " + count(b.many) + " keys" + build, ask: requestSource([]string{"Bearer kw_junk", "Bearer x"}, deny)})
}

// twoCoreCases are the first of those cases again, for a server with two cores, one of which it shares with the client.
func (b *bench) twoCoreCases(oneCore []*target, build string) []*target {
	name := "known key of " + count(len(b.large.secrets))
	for _, s := range oneCore {
		if s.name == name+build {
			return b.selected(&target{name: name + ", GOMAXPROCS 2" + build, ask: s.ask, than: s})
		}
	}
	return nil
}

// Limits that are counted and never reached: of each key, and of each address that fails.
const limitedConfig = `
rate_limits: {store: memory, api_key: 900000000/h, failed: 900000000/h}
`

// limitedCases are known keys, few of them, that are counted.
func (b *bench) limitedCases(unlimited []*target, build string) []*target {
	limited := &target{name: "known key of " + count(b.few) + ", rate limited" + build, ask: requestSource(bearers(b.small.secrets), allow)}
	if len(unlimited) > 0 {
		limited.than = unlimited[0]
	}
	return b.selected(limited)
}

const cachedConfig = `
users: {file: %[1]s/credential-users.jsonl}
credentials: {basic: true}
jwt: [{issuer: bench, algorithms: [RS256], jwks_file: %[1]s/jwks.json}]
`

// cachedCredentials is a server with few keys that takes tokens and passwords, all of them known to it.
func (b *bench) cachedCredentials(build string) (*scenario, error) {
	suffix := " in the cache, with " + count(b.few) + " keys" + build
	token, password := &target{name: "JWT (RS256)" + suffix}, &target{name: "password" + suffix}
	s := &scenario{build: build, keys: b.small, procs: 1, more: fmt.Sprintf(cachedConfig, b.dir), cases: b.selected(token, password)}
	if len(s.cases) == 0 {
		return s, nil // making them takes seconds
	}
	if b.cached == nil {
		if err := b.makeCached(); err != nil {
			return nil, err
		}
	}
	token.ask, password.ask = requestSource(b.cached[0].all, allow), requestSource(b.cached[1].all, allow)
	s.warm = b.cached
	return s, nil
}

// makeCached makes tokens and passwords, and the files that cachedConfig names, once for all builds.
func (b *bench) makeCached() error {
	rs256, err := newRSASigner()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "jwks.json"), keySet([]*signer{rs256}), 0o600); err != nil {
		return err
	}
	passwords, err := b.makePasswords()
	if err != nil {
		return err
	}
	b.cached = []kindOfCredential{{"JWT", rs256.tokens}, passwords}
	return nil
}
