package authz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz/urlpath"
	"keyward/authz/urlquery"
)

// fakeDeps is the set of a Checker's parts, which a test can change.
type fakeDeps struct {
	ready     error
	route     Route
	reason    Reason
	verify    func(*Credential) (*Principal, error)
	authorize Reason
	https     bool
	sources   *CredentialSources // nil: those of most tests
	observed  []Decision
}

func newFakeDeps() *fakeDeps {
	return &fakeDeps{
		route:  Route{Auth: AuthRequired},
		reason: OK, authorize: OK,
		verify: func(*Credential) (*Principal, error) { return alice(), nil },
	}
}

func alice() *Principal {
	return &Principal{AuthMethod: AuthMethodAPIKey, User: "alice", KeyID: "k_1", Paths: urlpath.Any(), UserPaths: urlpath.Any()}
}

func (w *fakeDeps) Route(*Request, urlpath.Path) (*Route, Reason)     { return &w.route, w.reason }
func (w *fakeDeps) Authorize(*Principal, urlpath.Path, *Route) Reason { return w.authorize }
func (w *fakeDeps) Observe(_ *Request, d *Decision) {
	w.observed = append(w.observed, *d)
}
func (w *fakeDeps) Verify(_ context.Context, c *Credential, _ time.Time) (*Principal, error) {
	return w.verify(c)
}

func (w *fakeDeps) checker(t testing.TB) *Checker {
	t.Helper()
	identity, err := NewIdentityHeaders(map[string]IdentityAttribute{"X-Auth-Subject": AttributeSubject, "x-auth-project": AttributeProject}, []string{"authorization", "x-api-key"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sources := CredentialSources{Schemes: NewSchemeSet(SchemeBearer), Headers: []string{"x-api-key"}, Cookie: "session", Query: urlquery.Names{Credential: []string{"key"}}}
	if w.sources != nil {
		sources = *w.sources
	}
	c, err := NewChecker(Config{
		Ready: func() error { return w.ready }, Policy: w, Verifier: w, Identity: identity, RequireHTTPS: w.https,
		Sources: sources, Observers: []Observer{w}, Now: time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request() *Request {
	return &Request{Method: "GET", Scheme: "http", Target: "/a", Headers: []Header{{"authorization", "Bearer tok"}}}
}

// denialCounter counts the denials that it observes, all complete.
type denialCounter struct {
	*testing.T
	n int
}

func (o *denialCounter) Observe(_ *Request, d *Decision) {
	o.n++
	if d.Allowed() || d.ID == "" || d.Duration <= 0 {
		o.Errorf("observed: %+v", d)
	}
}

// TestDenialObservers: they get each denial and no allow.
func TestDenialObservers(t *testing.T) {
	w, o := newFakeDeps(), &denialCounter{T: t}
	c := w.checker(t)
	c.cfg.DenialObservers = []Observer{o}
	c.Check(t.Context(), request())
	c.Authenticate(t.Context(), request())
	if o.n != 0 {
		t.Error("an allow was observed")
	}
	c.Refuse(request(), RequestTooLarge, nil)
	w.authorize = InsufficientScope
	c.Check(t.Context(), request())
	if o.n != 2 || len(w.observed) != 4 {
		t.Errorf("%d denials of %d decisions", o.n, len(w.observed))
	}
}

// TestDisguisedQueryCredential: a credential that no proxy could
// remove never reaches the upstream, not even on a public route, unless the
// route forwards credentials.
func TestDisguisedQueryCredential(t *testing.T) {
	preflight := []Header{{"origin", "https://a.example"}, {"access-control-request-method", "GET"}}
	for _, c := range []struct {
		target string
		want   Reason
		remove string
	}{
		{"/a?k%65y=secret", AmbiguousCredential, ""},
		{"/a?b=c&%6bey=secret&d", AmbiguousCredential, ""},
		{"/a?b=c;key=secret", AmbiguousCredential, ""},
		{"/a?key=secret;b=c", AmbiguousCredential, ""},
		{"/a?+key=secret", AmbiguousCredential, ""},
		{"/a?key=secret", Anonymous, "key"},
		{"/a?k%65ys=no+secret;keys=%20", Anonymous, ""},
		{"/a", Anonymous, ""},
	} {
		for name, set := range map[string]func(*fakeDeps, *Request){
			"none": func(w *fakeDeps, r *Request) { w.route.Auth, r.Headers = AuthNone, nil },
			"preflight": func(w *fakeDeps, r *Request) {
				w.route.Preflight, r.Method, r.Headers = true, "OPTIONS", slices.Clone(preflight)
			},
		} {
			w, r := newFakeDeps(), request()
			set(w, r)
			r.Target = c.target
			if d := w.checker(t).Check(t.Context(), r); d.Reason != c.want || strings.Join(d.RemoveQuery, " ") != c.remove {
				t.Errorf("%s, %s: %s, remove %q", c.target, name, d.Reason, d.RemoveQuery)
			}
			r.Reset()
			set(w, r)
			r.Target, w.route.ForwardCredentials = c.target, true
			if d := w.checker(t).Check(t.Context(), r); d.Reason != Anonymous {
				t.Errorf("%s, %s, credentials are forwarded: %s", c.target, name, d.Reason)
			}
		}
	}
}

// TestEveryStepDenies lets each step deny in turn, while all others allow.
func TestEveryStepDenies(t *testing.T) {
	tests := []struct {
		name string
		set  func(*fakeDeps, *Request)
		want Reason
	}{
		{"everything allows", func(*fakeDeps, *Request) {}, OK},
		{"not ready", func(w *fakeDeps, _ *Request) { w.ready = errors.New("no keys") }, Unavailable},
		{"ambiguous path", func(_ *fakeDeps, r *Request) { r.Target = "/a/../b" }, AmbiguousPath},
		{"empty target (CONNECT)", func(_ *fakeDeps, r *Request) { r.Target = "" }, AmbiguousPath},
		{"method", func(w *fakeDeps, _ *Request) { w.reason = MethodNotAllowed }, MethodNotAllowed},
		{"route denies", func(w *fakeDeps, _ *Request) { w.route.Auth = AuthDeny }, RouteDenied},
		{"zero route", func(w *fakeDeps, _ *Request) { w.route = Route{} }, RouteDenied},
		{"http", func(w *fakeDeps, _ *Request) { w.https = true }, HTTPSRequired},
		{"https", func(w *fakeDeps, r *Request) { w.https = true; r.Scheme = "HTTPS" }, OK},
		{"websocket over TLS", func(w *fakeDeps, r *Request) { w.https = true; r.Scheme = "wss" }, OK},
		{"websocket", func(w *fakeDeps, r *Request) { w.https = true; r.Scheme = "ws" }, HTTPSRequired},
		{"no credential", func(_ *fakeDeps, r *Request) { r.Headers = nil }, NoCredential},
		{"no credential, optional", func(w *fakeDeps, r *Request) { r.Headers = nil; w.route.Auth = AuthOptional }, Anonymous},
		{"bad credential, optional", func(w *fakeDeps, r *Request) {
			w.route.Auth = AuthOptional
			w.verify = func(*Credential) (*Principal, error) { return nil, &CredentialError{Reason: UnknownKey} }
		}, UnknownKey},
		{"malformed credential, optional", func(w *fakeDeps, r *Request) {
			w.route.Auth = AuthOptional
			r.Headers[0].Value = "Bearer"
		}, MalformedCredential},
		{"bad credential, none", func(w *fakeDeps, r *Request) { w.route.Auth = AuthNone; r.Headers[0].Value = "Bearer" }, Anonymous},
		{"a kind without a verifier", func(w *fakeDeps, _ *Request) {
			w.verify = func(*Credential) (*Principal, error) { return nil, ErrNotMine }
		}, InvalidToken},
		{"verifier fails", func(w *fakeDeps, _ *Request) {
			w.verify = func(*Credential) (*Principal, error) { return nil, errors.New("store unavailable") }
		}, Unavailable},
		{"verifier fails, optional", func(w *fakeDeps, _ *Request) {
			w.route.Auth = AuthOptional
			w.verify = func(*Credential) (*Principal, error) { return nil, context.DeadlineExceeded }
		}, Unavailable},
		{"neither principal nor error", func(w *fakeDeps, _ *Request) {
			w.verify = func(*Credential) (*Principal, error) { return nil, nil }
		}, Internal},
		{"zero principal", func(w *fakeDeps, _ *Request) {
			w.verify = func(*Credential) (*Principal, error) { return &Principal{}, nil }
		}, Internal},
		{"credential error that would allow", func(w *fakeDeps, _ *Request) {
			w.verify = func(*Credential) (*Principal, error) { return alice(), &CredentialError{Reason: OK} }
		}, Unavailable},
		{"panic", func(w *fakeDeps, _ *Request) {
			w.verify = func(*Credential) (*Principal, error) { panic("boom") }
		}, Internal},
		{"policy", func(w *fakeDeps, _ *Request) { w.authorize = InsufficientScope }, InsufficientScope},
		{"zero authorize", func(w *fakeDeps, _ *Request) { w.authorize = 0 }, Internal},
		{"preflight where the route allows it", func(w *fakeDeps, r *Request) {
			w.route.Preflight = true
			r.Method, r.Headers = "OPTIONS", []Header{{"origin", "https://a"}, {"access-control-request-method", "PUT"}}
		}, Anonymous},
		{"preflight where the route does not allow it", func(_ *fakeDeps, r *Request) {
			r.Method, r.Headers = "OPTIONS", []Header{{"origin", "https://a"}, {"access-control-request-method", "PUT"}}
		}, NoCredential},
		{"OPTIONS that is not a preflight", func(w *fakeDeps, r *Request) {
			w.route.Preflight = true
			r.Method, r.Headers = "OPTIONS", []Header{{"origin", "https://a"}}
		}, NoCredential},
		{"GET that looks like a preflight", func(w *fakeDeps, r *Request) {
			w.route.Preflight = true
			r.Headers = []Header{{"origin", "https://a"}, {"access-control-request-method", "PUT"}}
		}, NoCredential},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, r := newFakeDeps(), request()
			test.set(w, r)
			d := w.checker(t).Check(context.Background(), r)
			if d.Reason != test.want {
				t.Errorf("%s (%v), want %s", d.Reason, d.Cause, test.want)
			}
			if d.Allowed() == (d.ID != "") {
				t.Errorf("allowed %v with the id %q: a denial has one", d.Allowed(), d.ID)
			}
			if len(w.observed) != 1 || w.observed[0].Reason != d.Reason {
				t.Errorf("observed %v", w.observed)
			}
		})
	}
}

func TestLateRequestIsDropped(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := newFakeDeps()
	if d := w.checker(t).Check(ctx, request()); d.Reason != Overloaded {
		t.Errorf("%s, want overloaded", d.Reason)
	}
}

func TestZeroValuesDeny(t *testing.T) {
	if d := (Decision{}); d.Allowed() || d.Reason.Status() != 503 {
		t.Error("the zero Decision allows")
	}
	for _, r := range append(Reasons(), Reason(200)) {
		if allows, want := r.Allows(), r.String() == "ok" || r.String() == "anonymous"; allows != want {
			t.Errorf("%s allows: %v", r, allows)
		}
		if status := r.Status(); (status == 200) != r.Allows() {
			t.Errorf("%s has status %d", r, status)
		}
		if r.String() == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
	if _, err := NewChecker(Config{}); err == nil {
		t.Error("a Checker without parts")
	}
}

func TestPrepareUpstream(t *testing.T) {
	w, r := newFakeDeps(), request()
	r.Target = "/a?key="
	r.Headers = append(r.Headers,
		Header{"x-auth-subject", "root"}, Header{"x_auth_subject", "root"}, Header{"x.auth.subject", "root"},
		Header{"x_api.key", "k"}, Header{"x~auth~subject", "root"}, Header{"x-auth-subject2", "mine"}, Header{"cookie", "a=1; session=; b=2"})
	d := w.checker(t).Check(context.Background(), r)
	if want := []Header{{"x-auth-subject", "alice"}, {"cookie", "a=1; b=2"}}; !slices.Equal(d.Set, want) {
		t.Errorf("set %v, want %v", d.Set, want)
	}
	if want := []string{"x-auth-project", "x_auth_subject", "x.auth.subject", "x_api.key", "x~auth~subject", "authorization", "x-api-key"}; !slices.Equal(d.Remove, want) {
		t.Errorf("removed %v, want %v", d.Remove, want)
	}
	if !slices.Equal(d.RemoveQuery, []string{"key"}) {
		t.Errorf("removed the query parameter %q", d.RemoveQuery)
	}

	r = request()
	r.Headers = append(r.Headers, Header{"cookie", "session="})
	if d := w.checker(t).Check(context.Background(), r); !slices.Contains(d.Remove, "cookie") {
		t.Errorf("a cookie header with only the credential: removed %v", d.Remove)
	}

	w.route.Auth = AuthNone
	r = request()
	if d := w.checker(t).Check(context.Background(), r); len(d.Set) != 0 || !slices.Contains(d.Remove, "authorization") || !slices.Contains(d.Remove, "x-auth-subject") {
		t.Errorf("anonymous: set %v, removed %v", d.Set, d.Remove)
	}
	w.route.ForwardCredentials = true
	r = request()
	if d := w.checker(t).Check(context.Background(), r); slices.Contains(d.Remove, "authorization") || !slices.Contains(d.Remove, "x-auth-subject") {
		t.Errorf("credentials forwarded: removed %v", d.Remove)
	}
}

func TestEveryFieldIsALegalValue(t *testing.T) {
	fields := map[string]IdentityAttribute{}
	for _, f := range IdentityAttributes() {
		fields["x-"+strings.ReplaceAll(string(f), "_", "-")] = f
	}
	id, err := NewIdentityHeaders(fields, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	scopes, err := ParseScopes([]string{"write", "read"})
	if err != nil {
		t.Fatal(err)
	}
	r := Request{}
	id.apply(&Principal{
		AuthMethod: AuthMethodAPIKey, User: "u\n", ClientID: "c\n", KeyID: "i\n", KeyName: "n\n", Project: "p\n", Issuer: "s\n",
		Scopes: scopes, ExpiresAt: time.Unix(0, 0).In(time.FixedZone("", 3600)),
	}, &r)
	want := []Header{
		{"x-client-id", "c%0A"}, {"x-expires-at", "1970-01-01T00:00:00Z"}, {"x-issuer", "s%0A"}, {"x-key-id", "i%0A"}, {"x-key-name", "n%0A"},
		{"x-method", "api_key"}, {"x-project", "p%0A"}, {"x-scopes", "read write"}, {"x-subject", "u%0A"},
	}
	if !slices.Equal(r.set, want) || len(r.remove) != 0 {
		t.Errorf("set %v, removed %v", r.set, r.remove)
	}
	r.Reset()
	id.apply(&Principal{AuthMethod: AuthMethodAPIKey, KeyID: "k_1"}, &r)
	if want := []string{"x-client-id", "x-expires-at", "x-issuer", "x-key-name", "x-project", "x-scopes"}; !slices.Equal(r.remove, want) {
		t.Errorf("without values: removed %v, want %v", r.remove, want)
	}
}

// TestWhoseCredentialItWas: the principal of a refused credential is in the
// decision for the log, and the request stays denied.
func TestWhoseCredentialItWas(t *testing.T) {
	w := newFakeDeps()
	w.verify = func(*Credential) (*Principal, error) {
		return nil, &CredentialError{Reason: RevokedKey, Principal: alice()}
	}
	if d := w.checker(t).Check(context.Background(), request()); d.Reason != RevokedKey || d.Principal == nil || d.Principal.KeyID != "k_1" {
		t.Errorf("%s of %v", d.Reason, d.Principal)
	}
}

// TestCauseOfARefusal: observers and traces get the cause as the decision's.
func TestCauseOfARefusal(t *testing.T) {
	w := newFakeDeps()
	w.verify = func(*Credential) (*Principal, error) {
		return nil, &CredentialError{Reason: InvalidToken, Cause: errors.New("aud: wrong audience")}
	}
	r, traced := request(), ""
	r.Trace = func(step, outcome string) { traced += step + " " + outcome + "\n" }
	d := w.checker(t).Check(context.Background(), r)
	if d.Reason != InvalidToken || d.Cause == nil || d.Cause.Error() != "aud: wrong audience" || w.observed[0].Cause != d.Cause {
		t.Errorf("%s (%v), observed %+v", d.Reason, d.Cause, w.observed)
	}
	if !strings.Contains(traced, "credential invalid_token (aud: wrong audience)\n") {
		t.Errorf("traced %s", traced)
	}
}

func TestIdentityHeadersRefuseAliases(t *testing.T) {
	for _, fields := range []map[string]IdentityAttribute{
		{"x-auth-user": AttributeSubject, "x_auth_user": AttributeKeyID},
		{"Authorization": AttributeSubject},
		{"x auth": AttributeSubject},
		{"x_auth_user": AttributeSubject},
		{"x.auth.user": AttributeSubject},
		{"": AttributeSubject},
		{"": AttributeSubject},
		{"x-auth": "secret"},
	} {
		if _, err := NewIdentityHeaders(fields, []string{"authorization"}, nil); err == nil {
			t.Errorf("%v: accepted", fields)
		}
	}
}

func TestCredentialHeadersHaveNoAliases(t *testing.T) {
	if _, err := NewIdentityHeaders(nil, []string{"x_api_key"}, nil); err == nil {
		t.Error("a credential header that is an alias of another is accepted")
	}
}

// TestRefuse: a request that could not be read is denied and observed like all
// others.
func TestRefuse(t *testing.T) {
	w := newFakeDeps()
	d := w.checker(t).Refuse(&Request{}, Internal, errors.New("torn"))
	if d.Allowed() || d.ID == "" || len(w.observed) != 1 || w.observed[0].Cause == nil {
		t.Errorf("decision %+v, observed %+v", d, w.observed)
	}
}

func TestHeaderValuesAreLegal(t *testing.T) {
	for in, want := range map[string]string{
		"alice": "alice", "a b": "a%20b", "a\r\nb": "a%0D%0Ab", "é": "%C3%A9", "a,b": "a%2Cb", "50%": "50%25", "a\x7f": "a%7F", "": "",
	} {
		if got := headerValue(in); got != want {
			t.Errorf("headerValue(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := NewSecret("hunter2")
	marshalled, err := json.Marshal(map[string]any{"s": s, "c": Credential{Secret: s}})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "in", Credential{Secret: s})
	texts := []string{string(marshalled), log.String(), s.String(), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x"} {
		texts = append(texts, fmt.Sprintf(verb, Credential{Secret: s}), fmt.Sprintf(verb, &Credential{Secret: s}))
	}
	for _, text := range texts {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) || !strings.Contains(text, "[secret]") {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestCheckAllocations(t *testing.T) {
	w := newFakeDeps()
	p := alice()
	w.verify = func(*Credential) (*Principal, error) { return p, nil }
	c := w.checker(t)
	r := request()
	headers := slices.Clone(r.Headers)
	allocs := testing.AllocsPerRun(1000, func() {
		r.Reset()
		r.Target, r.Headers = "/a", append(r.Headers, headers...)
		w.observed = w.observed[:0]
		if d := c.Check(context.Background(), r); !d.Allowed() {
			t.Fatal(d.Reason)
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations per check, want at most 1", allocs)
	}
}
