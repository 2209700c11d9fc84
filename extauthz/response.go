package extauthz

import (
	"keyward/authz"

	"google.golang.org/grpc/codes"
)

// The field numbers that are written, of envoy.service.auth.v3
// (external_auth.proto), envoy.config.core.v3, envoy.type.v3, google.rpc.Status
// and google.protobuf.Struct.
const (
	responseStatus   = 1
	responseDenied   = 2
	responseOK       = 3
	responseMetadata = 4

	statusCode = 1

	okHeaders          = 2
	okHeadersToRemove  = 5
	okResponseHeaders  = 6
	okQueryToRemove    = 8
	deniedStatus       = 1
	deniedHeaders      = 2
	deniedBody         = 3
	httpStatusCode     = 1
	optionHeader       = 1
	optionAppend       = 2
	optionAppendAction = 3

	structFields = 1
	valueString  = 3

	overwriteIfExistsOrAdd = 2 // of HeaderAppendAction
)

// appendCheckResponse appends a decision as a CheckResponse. No other function
// makes one: an empty CheckResponse would mean OK.
func (n *Renderer) appendCheckResponse(b []byte, r *authz.Request, d *authz.Decision) []byte {
	w := wireWriter{b}
	if d.Allowed() {
		n.appendOK(&w, d)
	} else {
		n.appendDenied(&w, r, d)
	}
	w.metadata(d)
	return w.bytes
}

func (n *Renderer) appendOK(w *wireWriter, d *authz.Decision) {
	allow := n.Allow(d)
	w.end(w.begin(responseStatus)) // code OK is 0, which is not written
	ok := w.begin(responseOK)
	w.overwriting(okHeaders, allow.Set)
	for _, name := range allow.Remove {
		w.text(okHeadersToRemove, name)
	}
	w.bytes = append(w.bytes, allow.Overrides.wire...)
	w.overwriting(okResponseHeaders, allow.ResponseHeaders)
	for _, name := range allow.RemoveQuery {
		w.text(okQueryToRemove, name)
	}
	w.end(ok)
}

func (n *Renderer) appendDenied(w *wireWriter, r *authz.Request, d *authz.Decision) {
	denial := n.Denial(r, d)
	status := w.begin(responseStatus)
	w.number(statusCode, uint64(grpcCode(denial.Status)))
	w.end(status)
	denied := w.begin(responseDenied)
	code := w.begin(deniedStatus)
	w.number(httpStatusCode, uint64(denial.Status))
	w.end(code)
	w.overwriting(deniedHeaders, denial.Headers)
	w.data(deniedBody, denial.Body)
	w.end(denied)
}

// overwriting writes headers that replace all of the client's with the same
// names. Envoy 1.37.0 appended if `append` was unset (envoy issue 43310), so
// both the old field and the new one are set.
func (w *wireWriter) overwriting(field uint, headers []authz.Header) {
	for i := range headers {
		option := w.begin(field)
		header := w.begin(optionHeader)
		w.text(headerKey, headers[i].Name)
		w.text(headerValue, headers[i].Value)
		w.end(header)
		w.end(w.begin(optionAppend)) // false, which is not written
		w.number(optionAppendAction, overwriteIfExistsOrAdd)
		w.end(option)
	}
}

// metadata writes the dynamic metadata as a google.protobuf.Struct.
func (w *wireWriter) metadata(d *authz.Decision) {
	var fields [3]authz.Header
	all := w.begin(responseMetadata)
	for _, f := range AppendMetadata(fields[:0], d) {
		w.metadataField(f.Name, f.Value)
	}
	w.end(all)
}

func (w *wireWriter) metadataField(name, text string) {
	entry := w.begin(structFields)
	w.text(mapKey, name)
	value := w.begin(mapValue)
	w.text(valueString, text)
	w.end(value)
	w.end(entry)
}

// grpcCode returns the code for the HTTP status of a denial. Envoy only checks
// whether it is OK.
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
