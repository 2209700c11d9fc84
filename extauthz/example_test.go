package extauthz_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"google.golang.org/grpc"

	"keyward/extauthz"
)

// Until there is a handler, both transports deny: the gRPC service with
// UNAVAILABLE, the HTTP handler with 503.
func Example() {
	handler := func() *extauthz.Handler { return nil } // a server returns the current one

	server := grpc.NewServer(extauthz.ServerCodec())
	extauthz.NewGRPC(handler).Register(server)
	for name := range server.GetServiceInfo() {
		fmt.Println(name)
	}

	answer := httptest.NewRecorder()
	extauthz.NewHTTP(handler).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/authz/nginx", nil))
	fmt.Println(answer.Code)
	// Output:
	// envoy.service.auth.v3.Authorization
	// 503
}
