package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// client asks a child as Envoy does, over a few connections.
type client struct {
	conns []*grpc.ClientConn
}

func dial(c *child, connections int) (*client, error) { return dialSocket(c.socket, connections) }

func dialSocket(socket string, connections int) (*client, error) {
	cl := &client{}
	for range connections {
		conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		cl.conns = append(cl.conns, conn)
	}
	return cl, nil
}

func (c *client) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// request is what Envoy 1.40 sends of an ordinary call with the value of
// Authorization, captured and made up again: without allowed_headers all headers
// go along, the pseudo-headers too; one by one with encode_raw_headers, as envoy.yaml has it.
func request(authorization string) *authv3.CheckRequest {
	line := func(name, value string) *corev3.HeaderValue {
		return &corev3.HeaderValue{Key: name, RawValue: []byte(value)}
	}
	peer := func(address string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
	}
	const target = "/api/v1/items/4711?fields=name"
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("10.1.2.3", 41234), Destination: peer("10.1.0.1", 443),
		Request: &authv3.AttributeContext_Request{
			Time: &timestamppb.Timestamp{Seconds: 1795366903, Nanos: 860214000},
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "7385159230611111232", Method: "GET", Path: target, Host: "api.example.com", Scheme: "https", Protocol: "HTTP/2",
				HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
					line(":method", "GET"), line(":scheme", "https"), line(":path", target), line(":authority", "api.example.com"),
					line("user-agent", "curl/8.5.0"), line("accept", "*/*"), line("authorization", authorization),
					line("x-forwarded-for", "10.1.2.3"), line("x-forwarded-proto", "https"), line("x-request-id", "7231c281-5092-41a5-a077-f6c146eabba5"),
				}},
			},
		},
		MetadataContext: &corev3.Metadata{}, RouteMetadataContext: &corev3.Metadata{},
	}}
}

// allowed asks once and tells whether the credential gets in.
func (c *client) allowed(ctx context.Context, worker int, authorization string) (bool, error) {
	response, err := authv3.NewAuthorizationClient(c.conns[worker%len(c.conns)]).Check(ctx, request(authorization))
	if err != nil {
		return false, err
	}
	return response.GetOkResponse() != nil, nil
}

// load is what a number of workers do for a time.
type load struct {
	workers int
	rate    int // checks a second over all workers; 0 is as many as they can
	span    time.Duration
	pick    func() string // the value of Authorization
}

// outcome is what came of a load.
type outcome struct {
	latencies []time.Duration // sorted
	took      time.Duration
}

func (o *outcome) percentile(p float64) time.Duration {
	return o.latencies[min(len(o.latencies)-1, int(float64(len(o.latencies))*p/100))]
}

// run drives the load. Any refusal or failure of a check is an error.
func (c *client) run(ctx context.Context, l load) (*outcome, error) {
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	for w := range l.workers {
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
	return &outcome{all, time.Since(start)}, nil
}

// work is one worker's loop. At a given rate it counts a check from when it
// was due, so that a stall is not hidden by the checks it held up.
func (c *client) work(ctx context.Context, worker int, l load, start time.Time) ([]time.Duration, error) {
	var latencies []time.Duration
	every := time.Duration(0)
	if l.rate > 0 {
		every = time.Second * time.Duration(l.workers) / time.Duration(l.rate)
	}
	due := start.Add(time.Duration(rand.Int64N(int64(every) + 1)))
	for time.Since(start) < l.span {
		if every == 0 {
			due = time.Now()
		} else {
			time.Sleep(time.Until(due))
		}
		ok, err := c.allowed(ctx, worker, l.pick())
		if err != nil || !ok {
			return latencies, fmt.Errorf("a valid key was denied: %w", errors.Join(err, ctx.Err()))
		}
		latencies = append(latencies, time.Since(due))
		due = due.Add(every)
	}
	return latencies, nil
}

func anyOf(values []string) func() string {
	return func() string { return values[rand.IntN(len(values))] }
}

// anyKey picks one as the value of Authorization.
func anyKey(secrets []string) func() string {
	pick := anyOf(secrets)
	return func() string { return bearer(pick()) }
}
