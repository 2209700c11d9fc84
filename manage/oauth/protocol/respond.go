package protocol

import (
	"bytes"
	"encoding/json"
	"net/http"

	"keyward/manage/fault"
)

// retryAfter is how many seconds a client waits after a failure that is not its own.
const retryAfter = "2"

// problem is an error as RFC 6749 section 5.2 has it.
type problem struct {
	status      int
	code        string
	description string
	challenge   string // the value of WWW-Authenticate; "" for none
	retryAfter  string
}

var (
	invalidGrant = &problem{status: http.StatusBadRequest, code: "invalid_grant", description: "the code or the refresh token is not valid"}
	unavailable  = &problem{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", retryAfter: retryAfter}
	invalidScope = &problem{status: http.StatusBadRequest, code: "invalid_scope", description: "none of the scopes can be granted"}
)

func badRequest(description string) *problem {
	return &problem{status: http.StatusBadRequest, code: "invalid_request", description: description}
}

// invalidClient is a client that was not authenticated. One that tried by Basic receives
// what it may try.
func invalidClient(basic bool) *problem {
	p := &problem{status: http.StatusUnauthorized, code: "invalid_client", description: "the client is not known, or has not authenticated"}
	if basic {
		p.challenge = `Basic realm="oauth"`
	}
	return p
}

func writeError(w http.ResponseWriter, p *problem) {
	if p.challenge != "" {
		w.Header().Set("WWW-Authenticate", p.challenge)
	}
	if p.retryAfter != "" {
		w.Header().Set("Retry-After", p.retryAfter)
	}
	text, _ := json.Marshal(struct {
		Code        string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{p.code, p.description})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	_, _ = w.Write(text)
}

// recorded is the library's answer, which is read before it goes out.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorded) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorded) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *recorded) Write(text []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(text)
}

// ask has the library answer.
func (p *Protocol) ask(hr *http.Request) *recorded {
	r := &recorded{header: http.Header{}}
	p.library.ServeHTTP(r, hr)
	return r
}

// answer has the library answer a program.
func (p *Protocol) answer(w http.ResponseWriter, hr *http.Request, x *exchange) {
	r := p.ask(p.requestOf(hr, x))
	if r.status == 0 && x.failed == nil {
		x.failed = errNoAnswer
	}
	switch {
	case x.failed != nil:
		p.logFailure(x.path, x.failed)
		writeError(w, unavailable)
	case x.wrong != nil:
		writeError(w, x.wrong)
	case r.status >= http.StatusBadRequest:
		x.writeLibraryError(w, r)
	default:
		if media := r.header.Get("Content-Type"); media != "" {
			w.Header().Set("Content-Type", media)
		}
		w.WriteHeader(r.status)
		_, _ = w.Write(r.body.Bytes())
	}
}

func (p *Protocol) requestOf(hr *http.Request, x *exchange) *http.Request {
	authorization := hr.Header.Values("Authorization")
	hr = x.forLibrary(hr)
	if x.path == UserInfoPath {
		hr.Header["Authorization"] = authorization
	}
	return hr
}

// writeLibraryError answers with the library's error, with the status that its code has in
// RFC 6749 section 5.2 and RFC 6750 section 3.1.
func (x *exchange) writeLibraryError(w http.ResponseWriter, r *recorded) {
	var said struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(r.body.Bytes(), &said) != nil || said.Code == "" {
		said.Code = "server_error"
	}
	p := &problem{status: http.StatusBadRequest, code: said.Code, description: said.Description}
	switch {
	case said.Code == "access_denied" && x.path == RevokePath: // another client's token (RFC 7009 section 2.1)
		w.WriteHeader(http.StatusOK)
		return
	case said.Code == "invalid_client":
		p = invalidClient(x.basic)
	case said.Code == "expired_token":
		p = invalidGrant
	case said.Code == "server_error", said.Code == "internal_error":
		p.status, p.code = http.StatusInternalServerError, "server_error"
	case x.path == UserInfoPath && said.Code == "access_denied":
		p.status, p.code, p.challenge = http.StatusForbidden, "insufficient_scope", `Bearer error="insufficient_scope", scope="openid"`
	case x.path == UserInfoPath:
		p.status, p.challenge = http.StatusUnauthorized, `Bearer error="invalid_token"`
	}
	writeError(w, p)
}

// logFailure logs why nothing could be decided, which the client does not learn.
func (p *Protocol) logFailure(path string, err error) {
	if err != nil && fault.CodeOf(err) != fault.Overloaded {
		p.Log.Error("oauth: a request failed", "path", path, "error", err)
	}
}
