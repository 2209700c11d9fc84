package extauthz

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"keyward/authz"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var (
	challenge    = Challenge{Realm: "api", Schemes: authz.NewSchemeSet(authz.SchemeBearer)}
	testRenderer = Renderer{Challenge: challenge, Now: time.Now}
)

// checkResponse returns the response as Envoy decodes it.
func checkResponse(t *testing.T, r *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	t.Helper()
	response := new(authv3.CheckResponse)
	if err := proto.Unmarshal(testRenderer.appendCheckResponse(nil, r, d), response); err != nil {
		t.Fatal(err)
	}
	return response
}

// TestResponseMatchesGeneratedEncoder compares the response with that of the
// generated encoder, for parts of any length.
func TestResponseMatchesGeneratedEncoder(t *testing.T) {
	for length := range 300 {
		text := strings.Repeat("x", length)
		d := &authz.Decision{
			Reason: authz.OK, Principal: &authz.Principal{KeyID: "k_" + text}, Set: []authz.Header{{Name: "a", Value: text}, {Name: "b" + text, Value: ""}},
			Remove: []string{"c", text}, RemoveQuery: []string{text, "code"},
		}
		ok := &authv3.OkHttpResponse{Headers: overwriting(d.Set), HeadersToRemove: d.Remove, QueryParametersToRemove: d.RemoveQuery}
		want := &authv3.CheckResponse{
			Status: &statuspb.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
			DynamicMetadata: metadataStruct("reason", "ok", "key_id", d.Principal.KeyID),
		}
		if got := checkResponse(t, &authz.Request{}, d); !proto.Equal(got, want) {
			t.Fatalf("%s\nwant\n%s", got, want)
		}
		d = &authz.Decision{Reason: authz.PathNotAllowed, ID: text + "id"}
		denial := testRenderer.Denial(&authz.Request{}, d)
		want = &authv3.CheckResponse{
			Status: &statuspb.Status{Code: int32(codes.PermissionDenied)},
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
				Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden}, Headers: overwriting(denial.Headers), Body: string(denial.Body),
			}},
			DynamicMetadata: metadataStruct("reason", "path_not_allowed", "decision_id", d.ID),
		}
		if got := checkResponse(t, &authz.Request{}, d); !proto.Equal(got, want) {
			t.Fatalf("%s\nwant\n%s", got, want)
		}
	}
}

func overwriting(headers []authz.Header) (options []*corev3.HeaderValueOption) {
	for _, h := range headers {
		options = append(options, &corev3.HeaderValueOption{
			Header: &corev3.HeaderValue{Key: h.Name, Value: h.Value},
			//nolint:staticcheck // SA1019: old Envoys read the old field
			Append: wrapperspb.Bool(false), AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return options
}

func metadataStruct(pairs ...string) *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for i := 0; i < len(pairs); i += 2 {
		s.Fields[pairs[i]] = structpb.NewStringValue(pairs[i+1])
	}
	return s
}

func TestOKResponseOverwritesAndRemoves(t *testing.T) {
	d := authz.Decision{
		Reason: authz.OK, Principal: &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "k_1"},
		Set: []authz.Header{{Name: "x-auth-subject", Value: "alice"}}, Remove: []string{"authorization"}, RemoveQuery: []string{"api_key"},
	}
	response := checkResponse(t, &authz.Request{}, &d)
	d.Remove[0], d.Set[0] = "reused", authz.Header{Name: "reused"} // by the next request of the pool
	ok := response.GetOkResponse()
	if ok == nil {
		t.Fatal("no ok_response")
	}
	h := ok.GetHeaders()[0]
	//nolint:staticcheck // SA1019: old Envoys read the old field
	if h.GetAppend() == nil || h.GetAppend().GetValue() || h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
		t.Errorf("a header that appends: %v", h)
	}
	if h.GetHeader().GetValue() != "alice" || ok.GetHeadersToRemove()[0] != "authorization" || ok.GetQueryParametersToRemove()[0] != "api_key" {
		t.Errorf("response %v", ok)
	}
	if id := response.GetDynamicMetadata().GetFields()["key_id"].GetStringValue(); id != "k_1" {
		t.Errorf("the metadata has the key %q", id)
	}
}

// TestEveryReasonHasAResponse checks that only the two allowing reasons give an
// OK, and that every denial has a body with its status.
func TestEveryReasonHasAResponse(t *testing.T) {
	for _, reason := range append(authz.Reasons(), authz.Reason(250)) {
		d := authz.Decision{Reason: reason, ID: "decision", Route: &authz.Route{}}
		response := checkResponse(t, &authz.Request{}, &d)
		if response.GetHttpResponse() == nil {
			t.Fatalf("%s: Envoy takes a response without an answer for an OK", reason)
		}
		if allows := response.GetOkResponse() != nil; allows != reason.Allows() || (response.GetStatus().GetCode() == 0) != allows {
			t.Errorf("%s: allows %v, code %d", reason, allows, response.GetStatus().GetCode())
		}
		if reason.Allows() {
			continue
		}
		if id := response.GetDynamicMetadata().GetFields()["decision_id"].GetStringValue(); id != "decision" {
			t.Errorf("%s: the metadata has the decision %q", reason, id)
		}
		if code := codes.Code(response.GetStatus().GetCode()); code != codeOf[reason.Status()] {
			t.Errorf("%s: code %s", reason, code)
		}
		denied := response.GetDeniedResponse()
		var body struct {
			Type, Title, Detail, Reason string
			Status                      int
			ID                          string `json:"decision_id"`
		}
		if err := json.Unmarshal([]byte(denied.GetBody()), &body); err != nil {
			t.Fatalf("%s: %v", reason, err)
		}
		if body.Status != reason.Status() || int(denied.GetStatus().GetCode()) != reason.Status() || body.Title == "" ||
			body.Type != "about:blank" || body.ID != "decision" || body.Reason != reason.String() || body.Detail == "" {
			t.Errorf("%s: %+v", reason, body)
		}
		if header(denied.GetHeaders(), "cache-control") != "no-store" || header(denied.GetHeaders(), "x-keyward-decision-id") != "decision" ||
			header(denied.GetHeaders(), "content-type") != "application/problem+json" {
			t.Errorf("%s: headers %v", reason, denied.GetHeaders())
		}
		if has := header(denied.GetHeaders(), "www-authenticate") != ""; has != (reason.Status() == 401 || reason == authz.InsufficientScope) {
			t.Errorf("%s: challenge %v", reason, has)
		}
	}
	if r := checkResponse(t, &authz.Request{}, &authz.Decision{}); r.GetOkResponse() != nil || r.GetDeniedResponse().GetStatus().GetCode() != 503 {
		t.Error("the zero Decision is not a 503")
	}
}

var codeOf = map[int]codes.Code{
	400: codes.InvalidArgument, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 429: codes.ResourceExhausted, 503: codes.Unavailable,
}

func header(options []*corev3.HeaderValueOption, name string) string {
	for _, o := range options {
		if o.GetHeader().GetKey() == name {
			return o.GetHeader().GetValue()
		}
	}
	return ""
}

func TestChallenge(t *testing.T) {
	scopes, err := authz.ParseScopes([]string{"write", "read"})
	if err != nil {
		t.Fatal(err)
	}
	route := &authz.Route{Scopes: scopes}
	tests := []struct {
		c      Challenge
		reason authz.Reason
		want   string
	}{
		{challenge, authz.NoCredential, `Bearer realm="api"`},
		{challenge, authz.UnsupportedCredential, `Bearer realm="api"`},
		{challenge, authz.WrongPassword, `Bearer realm="api"`},
		{challenge, authz.AmbiguousCredential, `Bearer realm="api", error="invalid_request", error_description="The request carries more than one credential"`},
		{challenge, authz.UnknownKey, `Bearer realm="api", error="invalid_token", error_description="The credential is not valid"`},
		{challenge, authz.InsufficientScope, `Bearer realm="api", error="insufficient_scope", scope="read write"`},
		{challenge, authz.PathNotAllowed, ``},
		{challenge, authz.AmbiguousPath, ``},
		{challenge, authz.Unavailable, ``},
		{Challenge{None: true, Realm: "api", Schemes: authz.NewSchemeSet(authz.SchemeBearer)}, authz.NoCredential, ``},
		{Challenge{Realm: "api", Schemes: authz.NewSchemeSet(authz.SchemeBasic)}, authz.NoCredential, `Basic realm="api", charset="UTF-8"`},
		{Challenge{Realm: "api", TokenSchemes: []string{"Token", "", "ApiKey"}}, authz.NoCredential, `Token realm="api", ApiKey realm="api"`},
		{Challenge{Realm: "api", TokenSchemes: []string{""}}, authz.NoCredential, `Bearer realm="api"`},
		{Challenge{Realm: "api", TokenSchemes: []string{"Token"}}, authz.InsufficientScope, `Bearer realm="api", error="insufficient_scope", scope="read write"`},
		{Challenge{Realm: "api", Schemes: authz.NewSchemeSet(authz.SchemeBearer), TokenSchemes: []string{"Token"}}, authz.NoCredential, `Bearer realm="api", Token realm="api"`},
		{Challenge{Realm: "api", Schemes: authz.NewSchemeSet(authz.SchemeBearer, authz.SchemeBasic)}, authz.NoCredential, `Bearer realm="api", Basic realm="api", charset="UTF-8"`},
		{Challenge{Realm: "api", Schemes: authz.NewSchemeSet(authz.SchemeBearer, authz.SchemeBasic)}, authz.InsufficientScope, `Bearer realm="api", error="insufficient_scope", scope="read write"`},
		{Challenge{Realm: "api"}, authz.NoCredential, `Bearer realm="api"`}, // a 401 must have a challenge, even if no scheme of Authorization is enabled
	}
	for _, test := range tests {
		if got := test.c.value(&authz.Decision{Reason: test.reason, Route: route}); got != test.want {
			t.Errorf("%s: %s, want %s", test.reason, got, test.want)
		}
	}
	alternatives, err := authz.ParseScopes([]string{"admin", "read"})
	if err != nil {
		t.Fatal(err)
	}
	for want, route := range map[string]*authz.Route{"admin read write": {Scopes: scopes, ScopesAny: alternatives}, "admin read": {ScopesAny: alternatives}} {
		if got := challenge.value(&authz.Decision{Reason: authz.InsufficientScope, Route: route}); !strings.HasSuffix(got, `, scope="`+want+`"`) {
			t.Errorf("with scopes_any: %s, want %s", got, want)
		}
	}
}

// TestCauseIsNotSentToClients checks that the client does not get the cause of
// a denial.
func TestCauseIsNotSentToClients(t *testing.T) {
	d := authz.Decision{Reason: authz.Unavailable, ID: "x", Cause: errors.New("keys.jsonl:7: secret thing")}
	if denial := testRenderer.Denial(&authz.Request{}, &d); strings.Contains(string(denial.Body), "secret thing") {
		t.Errorf("the cause is in the body: %s", denial.Body)
	}
}

func TestGRPCClients(t *testing.T) {
	grpc := &authz.Request{Headers: []authz.Header{{Name: "content-type", Value: "application/grpc+proto"}}}
	denial := testRenderer.Denial(grpc, &authz.Decision{Reason: authz.RateLimited, ID: "x"})
	var status string
	for _, h := range denial.Headers {
		if h.Name == "grpc-status" {
			status = h.Value
		}
	}
	if status != "8" || strings.HasPrefix(string(denial.Body), "{") {
		t.Errorf("grpc-status %q, body %s", status, denial.Body)
	}
	for _, h := range testRenderer.Denial(grpc, &authz.Decision{Reason: authz.UnknownKey, ID: "x"}).Headers {
		if h.Name == "grpc-status" || h.Name == "content-type" {
			t.Errorf("a 401 to a gRPC client has %s: %s", h.Name, h.Value)
		}
	}
	for value, want := range map[string]bool{
		"application/grpc": true, "application/grpc-web": true, "application/grpc;x": true, "application/grpcx": false, "application/json": false, "": false,
	} {
		if got := isGRPC(&authz.Request{Headers: []authz.Header{{Name: "content-type", Value: value}}}); got != want {
			t.Errorf("content-type %q is gRPC: %v", value, got)
		}
	}
}
