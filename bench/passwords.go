package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"

	"keyward/authz"
	"keyward/keystore"
)

// A cache that forgets soon has known passwords hashed anew during the flood.
const passwordConfig = `
users: {file: %s}
credentials: {basic: true}
client_address: {trusted_hops: 1}
cache: {ttl: 1s}
`

const (
	floodAddresses = 20_000 // the wrong passwords come from
	floodWorkers   = 24
	usersOfAKind   = 10
)

// passwords measures API-key checks while wrong passwords arrive as fast as
// they can, on the two cores that server and client share, and whether right
// ones get in meanwhile. A flood of passwords that are refused before anything
// is hashed comes first, to tell what the hashing does from what the flood does.
func (b *bench) passwords() error {
	users := filepath.Join(b.dir, "users.jsonl")
	if err := makeUsers(users); err != nil {
		return err
	}
	c, err := startChildWith(b.binary, filepath.Join(b.dir, "e"), b.small, 2, fmt.Sprintf(passwordConfig, users))
	if err != nil {
		return err
	}
	var clients [3]*client
	for i, connections := range []int{1, 1, 4} {
		if clients[i], err = dial(c, connections); err != nil {
			return err
		}
		defer clients[i].close()
	}
	keys, people, flood := clients[0], clients[1], clients[2]
	steady := load{workers: 32, rate: 1000, span: 3 * time.Second, pick: anyKey(b.small.secrets)}
	if err := logIn(people); err != nil {
		return err
	}
	quiet, err := keys.run(context.Background(), steady)
	if err != nil {
		return err
	}
	printTail("key checks without a flood", quiet)
	before, err := c.resident()
	if err != nil {
		return err
	}
	tooLong, wrong := &passwordFlood{guesses: int64(b.guesses), tooLong: true}, &passwordFlood{guesses: int64(b.guesses)}
	if err := tooLong.meanwhile(flood, keys, steady); err != nil {
		return err
	}
	tooLong.print("too long passwords")
	regulars, newcomers := &visitors{kind: "regular", every: 100 * time.Millisecond}, &visitors{kind: "newcomer", every: time.Second}
	if err := wrong.meanwhile(flood, keys, steady, regulars.visiting(people), newcomers.visiting(people)); err != nil {
		return err
	}
	wrong.print("wrong passwords")
	after, err := c.resident()
	if err != nil {
		return err
	}
	row("resident MiB before the floods", before>>20)
	row("resident MiB after the floods", after>>20)
	regulars.print("right passwords known from before (ttl 1 s) let in")
	newcomers.print("right passwords never seen before let in")
	return c.stop()
}

// meanwhile drives the flood, and the key checks and whatever else until it is over.
func (f *passwordFlood) meanwhile(flood, keys *client, steady load, others ...func(stop <-chan struct{}) error) error {
	stop := make(chan struct{})
	errs := make([]error, len(others)+2)
	var wg sync.WaitGroup
	wg.Go(func() { errs[0] = f.drive(flood); close(stop) })
	wg.Go(func() { f.keys, errs[1] = keys.runUntil(context.Background(), steady, stop) })
	for n, other := range others {
		wg.Go(func() { errs[n+2] = other(stop) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func printTail(what string, o *outcome) {
	for _, p := range []float64{50, 99, 99.9} {
		row("%s: p%g", what, p, o.percentile(p).Round(10*time.Microsecond))
	}
}

// makeUsers makes some whom the flood guesses at, some who were there before, and some who come during it.
func makeUsers(path string) error {
	file := keystore.NewUserFile(keystore.UserFileConfig{Path: path})
	if _, err := file.SetUser("load-test", keystore.UserPatch{}); err != nil { // whom the keys act for
		return err
	}
	scopes := []string{"items:read", "items:write"}
	for _, kind := range []string{"target", "regular", "newcomer"} {
		for n := range usersOfAKind {
			secret := authz.NewSecret(passwordOf(kind, n))
			if _, err := file.SetUser(fmt.Sprint(kind, n), keystore.UserPatch{Password: &secret, Scopes: &scopes}); err != nil {
				return err
			}
		}
	}
	return nil
}

func passwordOf(kind string, n int) string { return fmt.Sprint("correct horse of ", kind, " ", n) }

// login is what Envoy sends of a call with a password, from that client.
func login(user, password, client string) *authv3.CheckRequest {
	r := request("")
	headers := r.GetAttributes().GetRequest().GetHttp().GetHeaderMap()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	for _, h := range headers.GetHeaders() {
		if h.GetKey() == "authorization" {
			h.RawValue = []byte(basic)
		}
	}
	headers.Headers = append(headers.GetHeaders(), &corev3.HeaderValue{Key: "x-forwarded-for", RawValue: []byte(client)})
	return r
}

// status asks once; 200 is let in.
func (c *client) status(worker int, r *authv3.CheckRequest) (int, error) {
	response, err := authv3.NewAuthorizationClient(c.conns[worker%len(c.conns)]).Check(context.Background(), r)
	switch {
	case err != nil:
		return 0, err
	case response.GetStatus().GetCode() == int32(codes.OK):
		return 200, nil
	default:
		return int(response.GetDeniedResponse().GetStatus().GetCode()), nil
	}
}

// logIn has each regular user let in once.
func logIn(people *client) error {
	for n := range usersOfAKind {
		for {
			status, err := people.status(0, login(fmt.Sprint("regular", n), passwordOf("regular", n), "192.0.2.1"))
			if err != nil {
				return err
			}
			if status == 200 {
				break
			}
			if status != 503 {
				return fmt.Errorf("a right password got status %d", status)
			}
		}
	}
	return nil
}

// passwordFlood is wrong passwords, half of them at names that exist.
type passwordFlood struct {
	guesses int64
	tooLong bool // for comparison: refused before anything is hashed
	sent    atomic.Int64
	answers [600]atomic.Int64 // by status
	took    time.Duration
	keys    *outcome // of the key checks meanwhile
}

func (f *passwordFlood) drive(c *client) error {
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	for worker := range floodWorkers {
		wg.Go(func() {
			for f.sent.Add(1) <= f.guesses {
				status, err := c.status(worker, f.guess())
				if err == nil && status != 401 && status != 429 && status != 503 {
					err = fmt.Errorf("a wrong password got status %d", status)
				}
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
				f.answers[status].Add(1)
			}
		})
	}
	wg.Wait()
	f.took = time.Since(start)
	return failed
}

func (f *passwordFlood) guess() *authv3.CheckRequest {
	user := fmt.Sprint("target", rand.IntN(usersOfAKind))
	if rand.IntN(2) == 0 {
		user = fmt.Sprint("nobody", rand.Uint32())
	}
	a := rand.N(uint32(floodAddresses)) * 839 // spread over 10.0.0.0/8
	guess := fmt.Sprint("guess ", rand.Uint64())
	if f.tooLong {
		guess = strings.Repeat("x", 73)
	}
	return login(user, guess, fmt.Sprintf("10.%d.%d.%d", a>>16&255, a>>8&255, a&255))
}

func (f *passwordFlood) print(what string) {
	row("%s a second (%s from %s addresses)", what, count(int(f.guesses)), count(floodAddresses), int(float64(f.guesses)/f.took.Seconds()))
	for _, status := range []int{401, 429, 503} {
		row("%s answered %d", what, status, f.answers[status].Load())
	}
	printTail("key checks meanwhile", f.keys)
}

// visitors are users of one kind with right passwords, each trying every so often until the flood is over.
type visitors struct {
	kind       string
	every      time.Duration
	tries, let int
	users      map[int]time.Duration // until one was first let in
}

func (v *visitors) visiting(c *client) func(stop <-chan struct{}) error {
	return func(stop <-chan struct{}) error { return v.visit(c, stop) }
}

func (v *visitors) visit(c *client, stop <-chan struct{}) error {
	v.users = map[int]time.Duration{}
	start := time.Now()
	tick := time.NewTicker(v.every / usersOfAKind)
	defer tick.Stop()
	for n := 0; ; n = (n + 1) % usersOfAKind {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		status, err := c.status(0, login(fmt.Sprint(v.kind, n), passwordOf(v.kind, n), fmt.Sprintf("192.0.2.%d", n+1)))
		if err == nil && status == 401 {
			err = errors.New("a right password is said to be wrong")
		}
		if err != nil {
			return err
		}
		v.tries++
		if status == 200 {
			v.let++
			if _, before := v.users[n]; !before {
				v.users[n] = time.Since(start)
			}
		}
	}
}

func (v *visitors) print(what string) {
	row("%s, of %d tries", what, v.tries, v.let)
	var waits []time.Duration
	for _, wait := range v.users {
		waits = append(waits, wait)
	}
	if len(waits) > 0 {
		slices.Sort(waits)
		row("their users let in, of %d; the last after %s", usersOfAKind, waits[len(waits)-1].Round(time.Millisecond), len(waits))
	}
}

// runUntil drives the load over and over until stop is closed.
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
