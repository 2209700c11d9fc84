package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"

	"keyward/authz"
	"keyward/keystore"
)

// passwordConfig has a cache with a short TTL, so that the passwords of regular
// users, who come less often, are hashed again.
const passwordConfig = `
users: {file: %s}
credentials: {basic: true}
client_address: {trusted_hops: 1}
cache: {ttl: 1s}
`

// passwords measures API-key checks while wrong passwords arrive as fast as
// possible, and whether correct ones are accepted meanwhile. It starts with a
// flood of passwords that are refused before hashing, to separate the effect of
// hashing from that of the flood.
func (b *bench) passwords() error {
	kinds := legitUserKinds()
	users := filepath.Join(b.dir, "users.jsonl")
	if err := makeUsers(users, kinds); err != nil {
		return err
	}
	c, err := startChildWith(b.binary, filepath.Join(b.dir, "e"), b.small, 2, fmt.Sprintf(passwordConfig, users))
	if err != nil {
		return err
	}
	keys, err := dial(c, 1)
	if err != nil {
		return err
	}
	defer keys.close()
	people, err := dial(c, 1)
	if err != nil {
		return err
	}
	defer people.close()
	if err := kinds[0].logIn(people); err != nil {
		return err
	}
	steady := load{workers: 32, rate: 1000, span: 3 * time.Second, pick: anyKey(b.small.secrets)}
	quiet, err := keys.run(context.Background(), steady)
	if err != nil {
		return err
	}
	b.printTail("key checks without a flood", quiet)
	if err := b.floodTwice(c, keys, people, steady, kinds); err != nil {
		return err
	}
	for _, kind := range kinds {
		kind.print(b)
	}
	return c.stop()
}

// floodTwice sends a flood that is not hashed and one that is. The legitUsers
// log in during the latter.
func (b *bench) floodTwice(c *child, keys, people *client, steady load, kinds []*legitUsers) error {
	before, err := c.resident()
	if err != nil {
		return err
	}
	tooLong, err := b.flooded(c, true, keys, steady)
	if err != nil {
		return err
	}
	tooLong.print(b, "too long passwords")
	var visits []func(stop <-chan struct{}) error
	for _, kind := range kinds {
		visits = append(visits, kind.start(people))
	}
	wrong, err := b.flooded(c, false, keys, steady, visits...)
	if err != nil {
		return err
	}
	wrong.print(b, "wrong passwords")
	after, err := c.resident()
	b.row("resident MiB before the floods", before>>20)
	b.row("resident MiB after the floods", after>>20)
	return err
}

// flooded sends a flood, and runs the key checks and the other functions until
// it is over.
func (b *bench) flooded(c *child, tooLong bool, keys *client, steady load, others ...func(stop <-chan struct{}) error) (*floodOutcome, error) {
	stop := make(chan struct{})
	errs := make([]error, len(others)+2)
	var flood *floodOutcome
	var checks *outcome
	var wg sync.WaitGroup
	wg.Go(func() { flood, errs[0] = startFlood(c.socket, b.guesses, tooLong); close(stop) })
	wg.Go(func() { checks, errs[1] = keys.runUntil(context.Background(), steady, stop) })
	for n, other := range others {
		wg.Go(func() { errs[n+2] = other(stop) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	flood.checks = checks
	return flood, nil
}

func (b *bench) printTail(what string, o *outcome) {
	for _, p := range []float64{50, 99, 99.9} {
		b.row("%s: p%g", what, p, o.percentile(p).Round(10*time.Microsecond))
	}
}

// makeUsers writes the users that the keys act for, and the legitUsers.
func makeUsers(path string, kinds []*legitUsers) error {
	file := keystore.NewUserFile(keystore.UserFileConfig{Path: path})
	if _, err := file.SetUser("load-test", keystore.UserPatch{}); err != nil {
		return err
	}
	scopes := []string{"items:read", "items:write"}
	for _, kind := range kinds {
		for n := range kind.users {
			secret := authz.NewSecret(kind.password(n))
			if _, err := file.SetUser(kind.user(n), keystore.UserPatch{Password: &secret, Scopes: &scopes}); err != nil {
				return err
			}
		}
	}
	return nil
}

// login returns what Envoy sends for a call with a password, from that client.
func login(user, password, client string) *authv3.CheckRequest {
	r := request("")
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	for _, h := range r.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		switch h.GetKey() {
		case "authorization":
			h.RawValue = []byte(basic)
		case "x-forwarded-for":
			h.RawValue = []byte(client)
		}
	}
	return r
}

// status makes one check and returns its status; 200 is allowed.
func (c *client) status(ctx context.Context, worker int, r *authv3.CheckRequest) (int, error) {
	response, err := authv3.NewAuthorizationClient(c.conns[worker%len(c.conns)]).Check(ctx, r)
	switch {
	case err != nil:
		return 0, err
	case response.GetStatus().GetCode() == int32(codes.OK):
		return 200, nil
	default:
		return int(response.GetDeniedResponse().GetStatus().GetCode()), nil
	}
}

// runUntil runs the load repeatedly until stop is closed.
func (c *client) runUntil(ctx context.Context, l load, stop <-chan struct{}) (*outcome, error) {
	var all outcome
	l.span = 500 * time.Millisecond
	for {
		o, err := c.run(ctx, l)
		if err != nil {
			return nil, err
		}
		all.latencies = append(all.latencies, o.latencies...)
		select {
		case <-stop:
			slices.Sort(all.latencies)
			return &all, nil
		default:
		}
	}
}
