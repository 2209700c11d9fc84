package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"keyward/e2e/stack"
	"keyward/internal/prove"
	"keyward/internal/rawcheck"
)

const (
	checksEvery = 5 * time.Millisecond // at each replica
	checkLimit  = 10 * time.Second     // for one check, after which its client gives up
	// A check waits for nothing: the slowest of a hundred takes at most p99Limit, or
	// slowdown times as long as before the failure where the machine is that busy, and
	// none takes longer than slowest.
	slowdown = 3
	slowest  = 2 * time.Second
)

// p99Limit leaves room for the other tests of a machine; what waits for the database takes
// seconds.
var p99Limit = prove.Size(200*time.Millisecond, 50*time.Millisecond)

// checks asks the replicas about keys all the time, at a steady rate: an answer that is
// late does not delay the next request.
type checks struct {
	ledger         *ledger
	valid, revoked string // the secrets of keys that stay so

	conns [2]*grpc.ClientConn // to the replicas

	mu    sync.Mutex
	took  []time.Duration // since the last call of phase
	wrong []string
}

// connect makes the connection to a replica.
func (c *checks) connect(number int, n *node) (err error) {
	c.conns[number], err = grpc.NewClient(stack.Address(n.ports.GRPC), grpc.WithTransportCredentials(insecure.NewCredentials()))
	return err
}

// run asks the replica until ctx ends.
func (c *checks) run(ctx context.Context, replica int) {
	var asking sync.WaitGroup
	defer asking.Wait()
	tick := time.NewTicker(checksEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			asking.Go(func() { c.check(context.WithoutCancel(ctx), replica, i) })
		}
	}
}

// check asks about the valid key, the revoked one, and one of those that change, in turn.
func (c *checks) check(ctx context.Context, replica, i int) {
	switch i % 3 {
	case 0:
		c.expect(replica, c.ask(ctx, replica, c.valid), "200 ok")
	case 1:
		c.expect(replica, c.ask(ctx, replica, c.revoked), "401 revoked_key")
	default:
		if k := c.ledger.any(); k != nil {
			c.askAbout(ctx, replica, k)
		}
	}
}

// askAbout asks about a key that changes.
func (c *checks) askAbout(ctx context.Context, replica int, k *keyState) {
	asked := time.Now()
	c.ledger.observe(replica, k, asked, c.ask(ctx, replica, k.secret))
}

// ask sends one check and records how long it took.
func (c *checks) ask(ctx context.Context, replica int, secret string) string {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	began := time.Now()
	answer, err := rawcheck.Ask(ctx, c.conns[replica], rawcheck.Request{Method: "GET", Target: "/posts", Headers: [][2]string{{"authorization", "Bearer " + secret}}})
	c.mu.Lock()
	c.took = append(c.took, time.Since(began))
	c.mu.Unlock()
	if err != nil {
		return err.Error()
	}
	return answer.String()
}

func (c *checks) expect(replica int, got, want string) {
	if got == want {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf("replica %d: %s, want %s", replica, got, want))
}

// latency is how long checks took.
type latency struct {
	checks   int
	p99, max time.Duration
}

func (l latency) String() string {
	return fmt.Sprintf("p99 %v, max %v of %d", l.p99.Round(10*time.Microsecond), l.max.Round(10*time.Microsecond), l.checks)
}

// phase returns how long the checks took since its last call.
func (c *checks) phase() latency {
	c.mu.Lock()
	took := c.took
	c.took = nil
	c.mu.Unlock()
	if len(took) == 0 {
		return latency{}
	}
	slices.Sort(took)
	return latency{len(took), took[len(took)*99/100], took[len(took)-1]}
}
