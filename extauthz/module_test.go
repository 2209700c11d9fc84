package extauthz

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
	"keyward/authz/nowait"
	"keyward/internal/eventually"
	"keyward/internal/race"
)

// change is an entry of an Answer.
type change struct {
	kind        Change
	name, value string
}

// readChanges is what filter.c does with the changes.
func readChanges(t *testing.T, b []byte) (all []change) {
	t.Helper()
	for len(b) > 0 {
		name, value := int(binary.LittleEndian.Uint32(b[1:])), int(binary.LittleEndian.Uint32(b[5:]))
		all = append(all, change{Change(b[0]), string(b[9 : 9+name]), string(b[9+name : 9+name+value])})
		b = b[9+name+value:]
	}
	return all
}

// value returns the value of the only change of that kind and name.
func valueOf(t *testing.T, all []change, kind Change, name string) string {
	t.Helper()
	var found []string
	for _, c := range all {
		if c.kind == kind && c.name == name {
			found = append(found, c.value)
		}
	}
	if len(found) != 1 {
		t.Errorf("%d changes %d of %q in %q, want one", len(found), kind, name, all)
		return ""
	}
	return found[0]
}

func newTestModule(t testing.TB, handler *Handler, deny bool) *Module {
	t.Helper()
	return newTestModuleOf(t, ModuleConfig{Handler: func() *Handler { return handler }, DenyUndecided: deny})
}

func newTestModuleOf(t testing.TB, cfg ModuleConfig) *Module {
	t.Helper()
	m, err := NewModule(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// askModule sends GET for the target, with header lines as Envoy has them.
func askModule(m *Module, target string, headers ...string) Answer {
	r := m.Request()
	for i := range headers[:len(headers)/2] {
		m.AddHeader(r, headers[2*i], headers[2*i+1])
	}
	for _, pseudo := range [][2]string{{":method", "GET"}, {":path", target}, {":authority", "api.example.com"}, {":scheme", "http"}, {":protocol", "websocket"}} {
		m.AddHeader(r, pseudo[0], pseudo[1])
	}
	return m.Check(r, nil)
}

func TestModuleAllows(t *testing.T) {
	policy := &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}}
	handler := newTestHandler(t, policy)
	handler.Renderer.Overrides = NewOverrides([]string{"x-original-url", "x-http-method"})
	m := newTestModule(t, handler, false)
	answer := askModule(m, "/a?wsdl&key=good", "x-original-url", "/admin", "X-Auth-Subject", "root", "x_auth_subject", "root", "accept", "*/*", "x-forwarded-proto", "https", "x-auth-project", "p")
	if answer.Verdict != VerdictAllow || answer.Status != 0 {
		t.Fatalf("%+v", answer)
	}
	all := readChanges(t, answer.Changes)
	for name, want := range map[string]string{"x-auth-subject": "alice", ":path": "/a?wsdl"} {
		if got := valueOf(t, all, ChangeSet, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"x-original-url", "x_auth_subject", "x-auth-project"} {
		valueOf(t, all, ChangeRemove, name)
	}
	if slices.ContainsFunc(all, func(c change) bool {
		return c.kind == ChangeRemove && (c.name == "accept" || c.name == "x-http-method" || c.name == "authorization")
	}) {
		t.Errorf("removed without need: %q", all)
	}
	for name, want := range map[string]string{"verdict": "allowed", "reason": "ok", "key_id": "k_1"} {
		if got := valueOf(t, all, ChangeMetadata, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := policy.recorded; got.Method != "GET" || got.Host != "api.example.com" || got.Scheme != "https" || got.Transport != authz.TransportModule {
		t.Errorf("%+v", got)
	}
}

// TestModuleSetsHeader: a header that the client did not send is added. One that it
// sent, in any case and also twice, is replaced.
func TestModuleSetsHeader(t *testing.T) {
	m := newTestModule(t, newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}}), false)
	for kind, headers := range map[Change][]string{
		ChangeAdd: {"x-auth-project", "p"},
		ChangeSet: {"accept", "*/*", "X-AUTH-Subject", "root", "x-auth-subject", "root"},
	} {
		answer := askModule(m, "/a?key=good", headers...)
		if got := valueOf(t, readChanges(t, answer.Changes), kind, "x-auth-subject"); got != "alice" {
			t.Errorf("%q: %q", headers, got)
		}
	}
}

func TestModuleDenies(t *testing.T) {
	m := newTestModule(t, newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}}), false)
	answer := askModule(m, "/a", "authorization", "Bearer bad")
	all := readChanges(t, answer.Changes)
	if answer.Verdict != VerdictDeny || answer.Status != 401 || valueOf(t, all, ChangeMetadata, "verdict") != "denied" {
		t.Fatalf("%+v", answer)
	}
	if body := valueOf(t, all, ChangeBody, ""); !strings.Contains(body, `"reason":"unknown_key"`) {
		t.Error(body)
	}
	if got := valueOf(t, all, ChangeSet, "content-type"); got != "application/problem+json" {
		t.Error(got)
	}
}

// TestModuleQuietAllow: only a denial has metadata, and only where nothing is asked
// about.
func TestModuleQuietAllow(t *testing.T) {
	handler := newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}})
	cfg := ModuleConfig{Handler: func() *Handler { return handler }, DenyUndecided: true, QuietAllow: true}
	m := newTestModuleOf(t, cfg)
	hasMetadata := func(answer Answer) bool {
		return slices.ContainsFunc(readChanges(t, answer.Changes), func(c change) bool { return c.kind == ChangeMetadata })
	}
	if answer := askModule(m, "/", "authorization", "Bearer good"); answer.Verdict != VerdictAllow || hasMetadata(answer) {
		t.Errorf("%+v", answer)
	}
	if answer := askModule(m, "/", "authorization", "Bearer bad"); answer.Verdict != VerdictDeny || !hasMetadata(answer) {
		t.Errorf("%+v", answer)
	}
	cfg.DenyUndecided = false
	if _, err := NewModule(cfg); err == nil {
		t.Error("what is asked about and what is allowed look alike")
	}
}

// TestModuleResponseHeaders: a header for the client is one of the response, and
// not of the request.
func TestModuleResponseHeaders(t *testing.T) {
	handler := newLimitedHandler(t, &stubLimiter{quota: authz.Quota{Name: "api_key", Rate: authz.Rate{Count: 1, Period: time.Second}, Limit: 1}}, true)
	answer := askModule(newTestModule(t, handler, false), "/", "authorization", "Bearer good")
	all := readChanges(t, answer.Changes)
	if answer.Verdict != VerdictAllow || !slices.ContainsFunc(all, func(c change) bool { return c.kind == ChangeResponse }) {
		t.Errorf("%+v %q", answer, all)
	}
}

// TestModuleWithoutHandler: before there is a handler nothing is decided.
func TestModuleWithoutHandler(t *testing.T) {
	for _, deny := range []bool{true, false} {
		if answer := askModule(newTestModule(t, nil, deny), "/"); answer.Verdict != VerdictUndecided {
			t.Errorf("%+v", answer)
		}
	}
}

// TestModulePanic: a panic of what the checker does not guard leaves the request
// undecided, and the next request is decided.
func TestModulePanic(t *testing.T) {
	handler := newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}})
	var broken atomic.Bool
	broken.Store(true)
	m := newTestModuleOf(t, ModuleConfig{DenyUndecided: true, Handler: func() *Handler {
		if broken.Load() {
			panic("injected")
		}
		return handler
	}})
	if answer := askModule(m, "/", "authorization", "Bearer good"); answer.Verdict != VerdictUndecided || answer.Changes != nil {
		t.Errorf("%+v", answer)
	}
	broken.Store(false)
	if answer := askModule(m, "/", "authorization", "Bearer good"); answer.Verdict != VerdictAllow {
		t.Errorf("%+v", answer)
	}
}

// TestModuleHeaderBounds: as many headers as over gRPC.
func TestModuleHeaderBounds(t *testing.T) {
	m := newTestModule(t, nil, false)
	r := m.Request()
	for range maxHeaders {
		if !m.AddHeader(r, "a", "b") {
			t.Fatal("no room")
		}
	}
	if m.AddHeader(r, "a", "b") || !m.AddHeader(r, ":path", "/") {
		t.Error("no bound, or one for pseudo-headers")
	}
}

// TestModuleUnsafeHeader: a value that would end its header line makes the request
// undecided, since nothing checks what a module sets.
func TestModuleUnsafeHeader(t *testing.T) {
	for _, user := range []string{"alice\r\nx-role: admin", "alice\x00", "alice\x7f"} {
		handler := newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}})
		m := newTestModule(t, handler, true)
		w := changes{valid: true}
		w.header(ChangeSet, "x-auth-subject", user)
		if w.valid {
			t.Errorf("%q is set", user)
		}
		d := &authz.Decision{Reason: authz.OK, Set: []authz.Header{{Name: "x-auth-subject", Value: user}}}
		if answer := m.answer(handler, m.Request(), d, true, nil); answer.Verdict != VerdictUndecided || answer.Changes != nil {
			t.Errorf("%+v", answer)
		}
	}
}

// waitingVerifier is a verifier that has to wait for the first use of a token.
type waitingVerifier struct {
	known atomic.Bool
	asked atomic.Int32
}

func (w *waitingVerifier) Verify(ctx context.Context, _ *authz.Credential, _ time.Time) (*authz.Principal, error) {
	w.asked.Add(1)
	if !w.known.Load() {
		if err := nowait.Allowed(ctx); err != nil {
			return nil, err
		}
		w.known.Store(true)
	}
	return &authz.Principal{AuthMethod: authz.AuthMethodJWT, User: "alice"}, nil
}

func newWaitingModule(t *testing.T, deny bool) (*Module, *waitingVerifier, *int) {
	t.Helper()
	v := new(waitingVerifier)
	observed := 0
	identity, err := authz.NewIdentityHeaders(nil, []string{"authorization"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := authz.NewChecker(authz.Config{
		Ready: func() error { return nil }, Policy: &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}}, Verifier: v, Identity: identity,
		Sources:   authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer, authz.SchemeBasic)},
		Observers: []authz.Observer{observerFunc(func(*authz.Decision) { observed++ })},
		Now:       time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return newTestModule(t, &Handler{Checker: checker, Renderer: Renderer{Challenge: challenge, Now: fixedNow}}, deny), v, &observed
}

// TestModuleLearnsTokens: the first request with a token is undecided and not
// observed, since another Keyward decides it; a later one is decided.
func TestModuleLearnsTokens(t *testing.T) {
	m, _, observed := newWaitingModule(t, false)
	if answer := askModule(m, "/", "authorization", "Bearer good"); answer.Verdict != VerdictUndecided || *observed != 0 {
		t.Fatalf("%+v, observed %d times", answer, *observed)
	}
	eventually.Succeeds(t, func() error {
		if answer := askModule(m, "/", "authorization", "Bearer good"); answer.Verdict != VerdictAllow {
			return errors.New("the token was not learned")
		}
		return nil
	})
	if *observed != 1 {
		t.Errorf("observed %d times", *observed)
	}
}

// TestModuleDeniesUndecided: without another Keyward, what is undecided is denied,
// and observed as every denial.
func TestModuleDeniesUndecided(t *testing.T) {
	m, _, observed := newWaitingModule(t, true)
	answer := askModule(m, "/", "authorization", "Bearer good")
	if answer.Verdict != VerdictDeny || answer.Status != 503 || *observed != 1 {
		t.Errorf("%+v, observed %d times", answer, *observed)
	}
}

// TestModuleHashesNoPasswords: a password is not verified in the background.
func TestModuleHashesNoPasswords(t *testing.T) {
	m, v, _ := newWaitingModule(t, false)
	for range 20 {
		if answer := askModule(m, "/", "authorization", "Basic YWxpY2U6Z29vZA=="); answer.Verdict != VerdictUndecided {
			t.Fatalf("%+v", answer)
		}
	}
	m.stop()
	m.stopped.Wait()
	if n := v.asked.Load(); n != 20 || v.known.Load() {
		t.Errorf("verified %d times for 20 requests", n)
	}
}

// TestModuleAllocations: a known key costs no allocation beyond the caller's copy of
// the headers.
func TestModuleAllocations(t *testing.T) {
	if race.Detector {
		t.Skip("sync.Pool forgets on purpose")
	}
	m := newTestModule(t, newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}}), false)
	buffer := make([]byte, 4096)
	headers := [][2]string{{":method", "GET"}, {":path", "/a"}, {":authority", "api.example.com"}, {"authorization", "Bearer good"}, {"accept", "*/*"}}
	if n := testing.AllocsPerRun(1000, func() {
		r := m.Request()
		for _, h := range headers {
			m.AddHeader(r, h[0], h[1])
		}
		if m.Check(r, buffer).Verdict != VerdictAllow {
			t.Fatal("denied")
		}
	}); n > 2 { // of the stubs
		t.Errorf("%v allocations", n)
	}
}
