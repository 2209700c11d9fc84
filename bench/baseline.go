package main

import (
	"context"
	"net"
	"net/http"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// allowAll is the baseline of the measurements: a stock ext_authz server of
// grpc-go and go-control-plane that allows every request unchecked.
type allowAll struct {
	authv3.UnimplementedAuthorizationServer
}

// Check implements authv3.AuthorizationServer.
func (allowAll) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status:       &statuspb.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}

// adminSuffix turns the baseline's socket into the one that serves its
// allocation metrics.
const adminSuffix = ".admin"

// runBaseline runs that server, with gRPC's default options.
func runBaseline(socket string) error {
	admin, err := net.Listen("unix", socket+adminSuffix)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	go func() { _ = http.Serve(admin, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})) }() // runs until the process is killed
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, allowAll{})
	return s.Serve(l)
}

// runBare runs a bare net/http server that allows every request unchecked.
func runBare(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return (&http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Auth-Subject", "load-test")
	})}).Serve(l)
}
