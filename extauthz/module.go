package extauthz

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"keyward/authz"
	"keyward/authz/nowait"
	"keyward/authz/urlquery"
	"keyward/chars"
)

// Module answers Envoy within its process, as a filter of it. Envoy's thread asks,
// and must not wait. What would have to wait is left undecided.
type Module struct {
	ModuleConfig
	calls sync.Pool // of *authz.Request

	tokens  chan token // to be verified in the background
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// token is a request whose token was not known.
type token struct {
	handler *Handler
	request *authz.Request
}

// learnQueue bounds the tokens that wait to be verified. What does not fit is asked
// about elsewhere again.
const learnQueue = 256

// learnTimeout bounds the verification of one of them.
const learnTimeout = 2 * time.Second

// ModuleConfig has the parts and settings of a Module.
type ModuleConfig struct {
	// Handler returns the current handler, nil while there is none.
	Handler func() *Handler
	// DenyUndecided denies what cannot be decided at once. Otherwise Envoy asks
	// another Keyward about it.
	DenyUndecided bool
	// QuietAllow leaves an allowed request without dynamic metadata, which costs half
	// as much as the check of a key. Then ext_authz cannot skip it.
	QuietAllow bool
}

// NewModule returns a Module. The caller calls Close.
func NewModule(cfg ModuleConfig) (*Module, error) {
	if cfg.QuietAllow && !cfg.DenyUndecided {
		return nil, errors.New("extauthz: without metadata, Envoy would ask about every request that the module has allowed")
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &Module{
		ModuleConfig: cfg, calls: sync.Pool{New: func() any { return new(authz.Request) }},
		tokens: make(chan token, learnQueue), stop: stop,
	}
	m.stopped.Go(func() { m.learn(ctx) })
	return m, nil
}

// Close ends the background work and waits for that. No Check may run during or
// after it.
func (m *Module) Close() {
	m.stop()
	m.stopped.Wait()
}

// learn verifies tokens one after the other, so that it takes at most one core.
func (m *Module) learn(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-m.tokens:
			limited, cancel := context.WithTimeout(ctx, learnTimeout)
			t.handler.Checker.Learn(limited, t.request)
			cancel()
		}
	}
}

// Verdict is what Envoy does with a request.
type Verdict uint8

// The verdicts. The zero verdict lets no request in: without a verdict, Envoy asks
// another Keyward, or denies.
const (
	VerdictUndecided Verdict = iota
	VerdictAllow
	VerdictDeny
)

// String returns the verdict as it is in the dynamic metadata.
func (v Verdict) String() string {
	switch v {
	case VerdictAllow:
		return "allowed"
	case VerdictDeny:
		return "denied"
	default:
		return "undecided"
	}
}

// Answer is a verdict with what Envoy changes.
type Answer struct {
	Verdict Verdict
	Status  int // of the response to a denied request
	Reason  authz.Reason
	Changes []byte // entries, see Change
}

// Change is the kind of an entry of an Answer. An entry is the byte of its kind, the
// lengths of its name and its value as 32 bits in little-endian order, the name, and
// the value.
type Change uint8

// The changes.
const (
	ChangeSet      Change = iota // sets a request header, and for a denial one of the response
	ChangeRemove                 // removes a request header
	ChangeResponse               // sets a header of the upstream's response
	ChangeMetadata               // sets a field of the dynamic metadata
	ChangeBody                   // is the body of the response to a denied request
	ChangeAdd                    // sets a request header that the request does not have
)

// Request returns an empty request for the caller to fill, by AddHeader, and to pass
// to Check.
func (m *Module) Request() *authz.Request { return m.calls.Get().(*authz.Request) }

// AddHeader adds a header line as Envoy has it: pseudo-headers too. It reports
// whether there is room for it.
func (m *Module) AddHeader(r *authz.Request, name, value string) bool {
	switch name {
	case ":method":
		r.Method = value
	case ":path":
		r.Target = value
	case ":authority":
		r.Host = value
	case ":scheme":
		r.Scheme = value
	default:
		if name == "" || name[0] == ':' {
			return true
		}
		if len(r.Headers) == maxHeaders {
			return false
		}
		r.Headers = append(r.Headers, authz.Header{Name: chars.LowerASCII(name), Value: value})
	}
	return true
}

// Check decides a request that Request returned. The changes are appended to buffer.
// After a panic the request is undecided.
func (m *Module) Check(r *authz.Request, buffer []byte) (answer Answer) {
	defer func() {
		if recover() != nil { // the checker recovers from its own panics
			answer = Answer{} // and r is left to the garbage collector
		}
	}()
	handler := m.Handler()
	if handler == nil {
		return Answer{}
	}
	r.Transport = authz.TransportModule
	applyForwardedHeaders(r)
	d, decided := handler.Checker.CheckAtOnce(r)
	if !decided {
		m.learnToken(handler, r, d)
	}
	if decided || m.DenyUndecided {
		answer = m.answer(handler, r, d, decided, buffer)
	}
	r.Reset()
	m.calls.Put(r)
	return answer
}

// answer renders a decision. A header that Envoy must not get makes it undecided.
func (m *Module) answer(handler *Handler, r *authz.Request, d *authz.Decision, decided bool, buffer []byte) Answer {
	answer := Answer{Verdict: VerdictDeny}
	w := changes{buffer[:0], true}
	if d.Allowed() {
		answer.Verdict = VerdictAllow
		w.allow(&handler.Renderer, r, d)
	} else {
		if !decided {
			d = handler.Checker.DenyUndecided(r, d)
		}
		answer.Status = w.denial(r, handler.Renderer.Denial(r, d))
	}
	answer.Reason = d.Reason
	if !m.QuietAllow || !d.Allowed() {
		w.metadata(answer.Verdict, d)
	}
	if answer.Changes = w.bytes; !w.valid {
		return Answer{}
	}
	return answer
}

// learnToken has a token verified that was not cached. Passwords are not: a hash
// takes tens of milliseconds and megabytes.
func (m *Module) learnToken(handler *Handler, r *authz.Request, d *authz.Decision) {
	if !errors.Is(d.Cause, nowait.Err) || d.Principal != nil || !r.Credential().Scheme.CarriesToken() {
		return
	}
	select {
	case m.tokens <- token{handler, r.Clone()}:
	default:
	}
}

// changes appends the entries of an Answer.
type changes struct {
	bytes []byte
	valid bool // no header has a byte that would end its line
}

func (w *changes) add(kind Change, name, value string) {
	w.bytes = append(w.bytes, byte(kind))
	w.bytes = binary.LittleEndian.AppendUint32(w.bytes, uint32(len(name)))
	w.bytes = binary.LittleEndian.AppendUint32(w.bytes, uint32(len(value)))
	w.bytes = append(append(w.bytes, name...), value...)
}

// header adds a header. Envoy checks what an ext_authz server sets
// (validate_mutations), and not what a module sets.
func (w *changes) header(kind Change, name, value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			w.valid = false
		}
	}
	w.add(kind, name, value)
}

func (w *changes) allow(n *Renderer, r *authz.Request, d *authz.Decision) {
	allow := n.Allow(d)
	for i := range allow.Set {
		w.header(setOrAdd(r, allow.Set[i].Name), allow.Set[i].Name, allow.Set[i].Value)
	}
	for i := range r.Headers { // most requests have none of those to remove
		if name := r.Headers[i].Name; allow.Overrides.contains(name) || slices.Contains(allow.Remove, name) {
			w.add(ChangeRemove, name, "")
		}
	}
	if len(allow.RemoveQuery) > 0 {
		w.header(ChangeSet, ":path", urlquery.Without(r.Target, allow.RemoveQuery))
	}
	for i := range allow.ResponseHeaders {
		w.header(ChangeResponse, allow.ResponseHeaders[i].Name, allow.ResponseHeaders[i].Value)
	}
}

// setOrAdd returns the change that sets a request header. Envoy adds one in less time
// than it replaces one.
func setOrAdd(r *authz.Request, name string) Change {
	for i := range r.Headers {
		if r.Headers[i].Name == name {
			return ChangeSet
		}
	}
	return ChangeAdd
}

func (w *changes) denial(r *authz.Request, denial Denial) (status int) {
	for i := range denial.Headers {
		w.header(ChangeSet, denial.Headers[i].Name, denial.Headers[i].Value)
	}
	rest, grpc := afterGRPC(r)
	grpc = grpc && (rest == "" || rest[0] == '+')            // to Envoy
	if grpc && denial.Status != http.StatusTooManyRequests { // which has it
		w.add(ChangeSet, "grpc-status", grpcStatus(denial.Status))
	}
	w.add(ChangeBody, "", string(denial.Body))
	return denial.Status
}

// grpcStatus returns the status that Envoy gives a gRPC client for an HTTP status. A
// module must set it: without it, Envoy's local reply says 0, which is OK.
func grpcStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "13" // INTERNAL
	case http.StatusUnauthorized:
		return "16" // UNAUTHENTICATED
	case http.StatusForbidden:
		return "7" // PERMISSION_DENIED
	default:
		return "14" // UNAVAILABLE
	}
}

func (w *changes) metadata(verdict Verdict, d *authz.Decision) {
	w.add(ChangeMetadata, "verdict", verdict.String())
	var fields [3]authz.Header
	for _, f := range AppendMetadata(fields[:0], d) {
		w.add(ChangeMetadata, f.Name, f.Value)
	}
}
