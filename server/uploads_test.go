package server_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"keyward/store"
)

// TestUploadsAtOnce: one client of Envoy's, whose uploads are sent along with the
// checks (with_request_body) and come to more than is kept, does not end the
// checks of others on the same connection.
func TestUploadsAtOnce(t *testing.T) {
	var key string
	r := start(t, baseConfig, func(r *running) { key = r.create(store.KeyParams{}) })
	r.ask("/", key)
	upload := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "POST", Path: "/", Body: strings.Repeat("x", 2<<20)}}}}
	ctx, cancel := context.WithCancel(t.Context())
	var uploads sync.WaitGroup
	defer uploads.Wait()
	defer cancel()
	const callLimit = 10 * time.Second // on a busy machine too, more comes than is kept before the first are given up
	for range 100 {
		uploads.Go(func() {
			for ctx.Err() == nil {
				call, done := context.WithTimeout(ctx, callLimit)
				_, _ = r.authz.Check(call, upload)
				done()
			}
		})
	}
	ended := func() bool { return strings.Contains(r.log.String(), "incomplete messages") }
	for began := time.Now(); time.Since(began) < time.Second || !ended(); {
		if status, reason := r.ask("/", key); status != 200 {
			t.Fatalf("%d %s", status, reason)
		}
		if time.Since(began) > time.Minute {
			t.Fatal("no call was ended: the uploads are too small")
		}
	}
}
