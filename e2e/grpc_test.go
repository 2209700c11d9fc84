package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"keyward/e2e/stack"
)

// TestGRPCClientGetsAGRPCStatus calls with a real gRPC client, which gets a
// status and a short message whatever the error style.
func TestGRPCClientGetsAGRPCStatus(t *testing.T) {
	for _, style := range []string{"problem", "halo"} {
		t.Run(style, func(t *testing.T) {
			throughProxies(t, func(t *testing.T, proxy string) { grpcClientGetsAGRPCStatus(t, proxy, style) })
		})
	}
}

func grpcClientGetsAGRPCStatus(t *testing.T, proxy, style string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig + "errors: " + style + "\n", envoy: speakHTTP2, text: withGRPC(t)})
	key := s.key("--name", "k", "--user", "alice", "--path", "/shop.Orders", "--path", "/reports")
	s.start()
	client, err := grpc.NewClient(stack.Address(s.Ports().Envoy), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	call := func(method, key string) *status.Status {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		ctx = metadata.AppendToOutgoingContext(ctx, "x-auth-subject", "evil", "x-auth-scopes", "evil")
		if key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
		}
		return status.Convert(client.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{}))
	}
	for _, c := range []struct {
		method, key string
		want        codes.Code
	}{
		{"/shop.Orders/Get", "", codes.Unauthenticated},
		{"/shop.Orders/Get", "kw_junk", codes.Unauthenticated},
		{"/shop.Payments/Get", key, codes.PermissionDenied},
		{"/reports/Get", key, codes.PermissionDenied},
	} {
		got := call(c.method, c.key)
		if got.Code() != c.want {
			t.Errorf("%s with key %v: %v, want %s", c.method, c.key != "", got, c.want)
		}
		if strings.HasPrefix(got.Message(), "{") || got.Message() == "" {
			t.Errorf("%s: the message is %q, want a sentence", c.method, got.Message())
		}
	}
	if n := s.arrived(); n != 0 {
		t.Errorf("%d denied calls reached the upstream", n)
	}
	// The upstream does not speak gRPC; it only matters that the call reached
	// it.
	call("/shop.Orders/Get", key)
	if s.arrived() != 1 || s.received[0].Headers["x-auth-subject"][0] != "alice" || findText(s.received[0], key, "evil") != "" {
		t.Errorf("the upstream got %v", s.received)
	}
	if proxy == "envoy-module" {
		return // it needs no Keyward for these calls: see TestModuleWithoutKeyward
	}
	s.Keyward.Kill()
	if got := call("/shop.Orders/Get", key); got.Code() != codes.Unavailable {
		t.Errorf("without Keyward: %v, want %s", got, codes.Unavailable)
	}
}
