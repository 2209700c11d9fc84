package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"keyward/authz"
	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/store"
	"keyward/store/filestore"
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
	c, err := process.Start(process.Config{
		Binary: b.binary, Dir: filepath.Join(b.dir, "e"), KeyFile: b.small.Path, Procs: 2, More: fmt.Sprintf(passwordConfig, users),
	})
	if err != nil {
		return err
	}
	keys, err := loadgen.Dial(c.Socket, 1)
	if err != nil {
		return err
	}
	defer keys.Close()
	people, err := loadgen.Dial(c.Socket, 1)
	if err != nil {
		return err
	}
	defer people.Close()
	if err := kinds[0].logIn(people); err != nil {
		return err
	}
	steady := loadgen.Load{Workers: 32, Rate: 1000, Span: 3 * time.Second, Pick: credential.AnyKey(b.small.Secrets)}
	quiet, err := keys.Run(context.Background(), steady)
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
	return c.Stop()
}

// floodTwice sends a flood that is not hashed and one that is. The legitUsers
// log in during the latter.
func (b *bench) floodTwice(c *process.Child, keys, people *loadgen.Client, steady loadgen.Load, kinds []*legitUsers) error {
	before, err := c.Resident()
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
	after, err := c.Resident()
	b.row("resident MiB before the floods", before>>20)
	b.row("resident MiB after the floods", after>>20)
	return err
}

// flooded sends a flood, and runs the key checks and the other functions until
// it is over.
func (b *bench) flooded(c *process.Child, tooLong bool, keys *loadgen.Client, steady loadgen.Load, others ...func(stop <-chan struct{}) error) (*floodOutcome, error) {
	stop := make(chan struct{})
	errs := make([]error, len(others)+2)
	var flood *floodOutcome
	var checks *loadgen.Outcome
	var wg sync.WaitGroup
	wg.Go(func() { flood, errs[0] = startFlood(c.Socket, b.guesses, tooLong); close(stop) })
	wg.Go(func() { checks, errs[1] = keys.RunUntil(context.Background(), steady, stop) })
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

func (b *bench) printTail(what string, o *loadgen.Outcome) {
	for _, p := range []float64{50, 99, 99.9} {
		b.row("%s: p%g", what, p, o.Percentile(p).Round(10*time.Microsecond))
	}
}

// makeUsers writes the users that the keys act for, and the legitUsers.
func makeUsers(path string, kinds []*legitUsers) error {
	file := recordfile.NewUserFile(filestore.UserFileConfig{Path: path}, nil)
	if _, err := file.Set(context.Background(), "load-test", store.AnyVersion, records.UserPatch{}); err != nil {
		return err
	}
	scopes := []string{"items:read", "items:write"}
	for _, kind := range kinds {
		for n := range kind.users {
			secret := authz.NewSecret(kind.password(n))
			if _, err := file.Set(context.Background(), kind.user(n), store.AnyVersion, records.UserPatch{Password: &secret, Scopes: &scopes}); err != nil {
				return err
			}
		}
	}
	return nil
}
