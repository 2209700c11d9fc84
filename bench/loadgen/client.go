package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
)

// Client sends checks to a server as Envoy does, over a few connections.
type Client struct {
	conns []*grpc.ClientConn
}

// Dial returns a client with that many connections to a socket.
func Dial(socket string, connections int) (*Client, error) {
	return DialTarget("unix://"+socket, connections)
}

// DialTarget is Dial for a target of gRPC.
func DialTarget(target string, connections int) (*Client, error) {
	cl := &Client{}
	for range connections {
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		cl.conns = append(cl.conns, conn)
	}
	return cl, nil
}

// Close closes the connections.
func (c *Client) Close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// Allowed makes one check and reports whether the credential is allowed.
func (c *Client) Allowed(ctx context.Context, worker int, authorization string) (bool, error) {
	response, err := authv3.NewAuthorizationClient(c.conns[worker%len(c.conns)]).Check(ctx, newCheckRequest(authorization, ""))
	if err != nil {
		return false, err
	}
	return response.GetOkResponse() != nil, nil
}

// Load describes what a number of workers do for a time.
type Load struct {
	Workers int
	Rate    int // checks per second over all workers; 0 means as many as possible
	Span    time.Duration
	Pick    func() string // returns a value of Authorization
}

// Outcome is the result of a load.
type Outcome struct {
	Latencies []time.Duration // sorted
	Took      time.Duration
}

// Percentile returns the latency that p percent of the checks do not exceed.
func (o *Outcome) Percentile(p float64) time.Duration {
	return o.Latencies[min(len(o.Latencies)-1, int(float64(len(o.Latencies))*p/100))]
}

// Run runs the load. Any denial or failure of a check is an error.
func (c *Client) Run(ctx context.Context, l Load) (*Outcome, error) {
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	for w := range l.Workers {
		wg.Go(func() {
			latencies, err := c.work(ctx, w, l, start)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, latencies...), errors.Join(failed, err)
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	slices.Sort(all)
	return &Outcome{all, time.Since(start)}, nil
}

// work is the loop of one worker. At a given rate it measures a check from when
// it was due, so that a stall is not hidden by the checks that it delayed.
func (c *Client) work(ctx context.Context, worker int, l Load, start time.Time) ([]time.Duration, error) {
	var latencies []time.Duration
	every := time.Duration(0)
	if l.Rate > 0 {
		every = time.Second * time.Duration(l.Workers) / time.Duration(l.Rate)
	}
	due := start.Add(time.Duration(rand.Int64N(int64(every) + 1)))
	for time.Since(start) < l.Span {
		if every == 0 {
			due = time.Now()
		} else {
			time.Sleep(time.Until(due))
		}
		ok, err := c.Allowed(ctx, worker, l.Pick())
		if err != nil || !ok {
			return latencies, fmt.Errorf("a valid key was denied: %w", errors.Join(err, ctx.Err()))
		}
		latencies = append(latencies, time.Since(due))
		due = due.Add(every)
	}
	return latencies, nil
}

// Status makes one check and returns its status; 200 is allowed.
func (c *Client) Status(ctx context.Context, worker int, r *authv3.CheckRequest) (int, error) {
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

// RunUntil runs the load repeatedly until stop is closed.
func (c *Client) RunUntil(ctx context.Context, l Load, stop <-chan struct{}) (*Outcome, error) {
	var all Outcome
	l.Span = 500 * time.Millisecond
	for {
		o, err := c.Run(ctx, l)
		if err != nil {
			return nil, err
		}
		all.Latencies = append(all.Latencies, o.Latencies...)
		select {
		case <-stop:
			slices.Sort(all.Latencies)
			return &all, nil
		default:
		}
	}
}
