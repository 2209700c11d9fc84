package extauthz

import (
	"keyward/authz"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// checkResponse says a decision to Envoy. It is the one place that makes a
// CheckResponse: an empty one would mean OK.
func (n *Denials) checkResponse(r *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	if d.Allowed() {
		return &authv3.CheckResponse{
			Status:          &statuspb.Status{Code: int32(codes.OK)},
			HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: okResponse(d)},
			DynamicMetadata: metadata(d),
		}
	}
	denial := n.of(r, d)
	return &authv3.CheckResponse{
		Status: &statuspb.Status{Code: int32(grpcCode(denial.Status))},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(denial.Status)},
			Headers: overwriting(denial.Headers),
			Body:    string(denial.Body),
		}},
		DynamicMetadata: metadata(d),
	}
}

func okResponse(d *authz.Decision) *authv3.OkHttpResponse {
	ok := &authv3.OkHttpResponse{
		Headers:         overwriting(d.Set),
		HeadersToRemove: append([]string(nil), d.Remove...),
	}
	if d.RemoveQuery != "" {
		ok.QueryParametersToRemove = []string{d.RemoveQuery}
	}
	return ok
}

// no is read by all responses and changed by none.
var no = wrapperspb.Bool(false)

// overwriting sets headers so that nothing of the client's survives. Envoy
// 1.37.0 appended where `append` was unset (envoy issue 43310), so both the old
// field and the new one say it.
func overwriting(headers []authz.Header) []*corev3.HeaderValueOption {
	options := make([]*corev3.HeaderValueOption, len(headers))
	for i, h := range headers {
		options[i] = &corev3.HeaderValueOption{
			Header: &corev3.HeaderValue{Key: h.Name, Value: h.Value},
			//lint:ignore SA1019 see above
			Append:       no,
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}
	}
	return options
}

// metadata is what Envoy's access log and later filters may know: never a credential.
func metadata(d *authz.Decision) *structpb.Struct {
	fields := map[string]*structpb.Value{"reason": structpb.NewStringValue(d.Reason.String())}
	if d.Principal != nil && d.Principal.KeyID != "" {
		fields["key_id"] = structpb.NewStringValue(d.Principal.KeyID)
	}
	if d.ID != "" {
		fields["decision_id"] = structpb.NewStringValue(d.ID)
	}
	return &structpb.Struct{Fields: fields}
}

// grpcCode is the code beside the HTTP status of a denial; Envoy only looks at whether it is OK.
func grpcCode(status int) codes.Code {
	switch status {
	case 400:
		return codes.InvalidArgument
	case 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 429:
		return codes.ResourceExhausted
	default:
		return codes.Unavailable
	}
}
