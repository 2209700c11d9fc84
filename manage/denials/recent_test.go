package denials

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"keyward/apikey"
	"keyward/authz"
)

var began = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// deny has the Recent observe a denial.
func deny(recent *Recent, id, client string, p *authz.Principal) {
	reason := authz.InsufficientScope
	if p == nil {
		reason = authz.UnknownKey
	}
	r := authz.Request{Transport: authz.TransportGRPC, Method: "GET", Scheme: "https", Host: "api.example.com", Target: "/posts/1?page=2", Peer: client}
	d := authz.Decision{ID: id, Reason: reason, Route: &authz.Route{Name: "posts"}, Principal: p, At: began}
	recent.Observer(began.Add(-time.Hour)).Observe(&r, &d)
}

func keyOf(user string) *authz.Principal {
	return &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, User: user, KeyID: "k_" + user}
}

// count returns how many of the denials PREFIX0 to PREFIXn are kept.
func count(recent *Recent, prefix string, n int) (kept int) {
	for i := range n {
		if recent.Get(fmt.Sprint(prefix, i)) != nil {
			kept++
		}
	}
	return kept
}

func TestGet(t *testing.T) {
	recent := New(Config{})
	deny(recent, "ID1", "192.0.2.1:4711", keyOf("alice"))
	n := recent.Get("ID1")
	if n == nil {
		t.Fatal("not kept")
	}
	text, err := json.Marshal(n)
	want := `{"id":"ID1","time":"2026-11-28T12:00:00Z","decision":"deny","reason":"insufficient_scope","status":403,"transport":"grpc",` +
		`"method":"GET","scheme":"https","host":"api.example.com","path":"/posts/1","client":"192.0.2.1","route":"posts",` +
		`"auth_method":"api_key","subject":"alice","key_id":"k_alice","configured":"2026-11-28T11:00:00Z"}`
	if err != nil || string(text) != want {
		t.Errorf("%s %v\nwant %s", text, err, want)
	}
	if recent.Get("ID2") != nil || recent.Get("") != nil {
		t.Error("a denial that never was is kept")
	}
}

// TestLongNames: a name that is not kept to its end is not taken for another.
func TestLongNames(t *testing.T) {
	for what, p := range map[string]authz.Principal{
		"user": {User: strings.Repeat("a", 256)}, "client": {ClientID: strings.Repeat("a", 256)}, "issuer": {Issuer: strings.Repeat("a", 256)},
	} {
		p.AuthMethod = authz.AuthMethodJWT
		recent := New(Config{})
		deny(recent, "ID", "192.0.2.1", &p)
		if now, err := recent.Get("ID").Recheck(t.Context(), nil); !errors.Is(err, ErrNotRepeatable) {
			t.Errorf("%s: %+v %v", what, now, err)
		}
	}
}

func TestOnlyDenialsAreKept(t *testing.T) {
	recent := New(Config{})
	o := recent.Observer(began)
	for _, reason := range authz.Reasons() {
		o.Observe(&authz.Request{Target: "/"}, &authz.Decision{ID: reason.String(), Reason: reason})
		if kept := recent.Get(reason.String()) != nil; kept == reason.Allows() {
			t.Errorf("%s: kept: %v", reason, kept)
		}
	}
	o.Observe(&authz.Request{Target: "/"}, &authz.Decision{})
	if recent.Get("") != nil {
		t.Error("a denial without an id is kept")
	}
}

// TestSameID: an id stays that of the first denial, so that no later one can pass
// for it.
func TestSameID(t *testing.T) {
	recent := New(Config{})
	deny(recent, "ID", "192.0.2.1", keyOf("alice"))
	deny(recent, "ID", "192.0.2.2", keyOf("bob"))
	deny(recent, "ID", "192.0.2.3", nil)
	if n := recent.Get("ID"); n.Subject != "alice" {
		t.Errorf("%+v", n)
	}
	if recent.principals.all.entries.Len() != 1 || recent.strangers.all.entries.Len() != 0 {
		t.Error("the later ones take space")
	}
}

// TestFlood: a stranger pushes out no other stranger, all strangers together no
// principal, and a principal no other.
func TestFlood(t *testing.T) {
	recent := New(Config{Max: 640})
	for i := range 10 {
		deny(recent, fmt.Sprint("stranger", i), "192.0.2.1", nil)
		deny(recent, fmt.Sprint("alice", i), "192.0.2.1", keyOf("alice"))
	}
	for i := range 10_000 {
		deny(recent, fmt.Sprint("flood", i), "198.51.100.1", nil)
		deny(recent, fmt.Sprint("flood6-", i), fmt.Sprintf("2001:db8::%x", i), nil)
		deny(recent, fmt.Sprint("mallory", i), fmt.Sprintf("10.1.%d.%d", i/256, i%256), keyOf("mallory"))
	}
	for prefix, want := range map[string]int{"stranger": 10, "alice": 10, "flood": 20, "flood6-": 20, "mallory": 20} {
		if kept := count(recent, prefix, 10_000); kept != want {
			t.Errorf("%s: %d are kept, want %d", prefix, kept, want)
		}
	}
	if recent.Get("flood9999") == nil || recent.Get("flood0") != nil {
		t.Error("not the last ones of the flood are kept")
	}
	for i := range 10_000 { // from many networks
		deny(recent, fmt.Sprint("many", i), fmt.Sprintf("10.%d.%d.1", i/256, i%256), nil)
	}
	if kept := count(recent, "many", 10_000); kept != 320 {
		t.Errorf("%d of many strangers are kept, want 320", kept)
	}
	if kept := count(recent, "alice", 10); kept != 10 {
		t.Errorf("strangers have pushed out a principal: %d of 10 are kept", kept)
	}
}

// TestBoundedMemory: what is kept stays within both bounds, whatever clients send.
func TestBoundedMemory(t *testing.T) {
	const maxBytes = 1 << 20
	recent := New(Config{MaxBytes: maxBytes})
	long := strings.Repeat("x", 10_000)
	scopes, err := authz.ParseScopes(strings.Fields(strings.Repeat("a_scope_of_a_token ", 100) + "b c d"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		r := authz.Request{Method: long, Scheme: long, Host: long, Target: "/" + long, Peer: fmt.Sprintf("10.0.%d.%d", i/256, i%256), RequestID: long, RouteName: long}
		d := authz.Decision{ID: fmt.Sprint(i), Reason: authz.RevokedToken, Cause: errors.New(long), At: began}
		if i%2 == 0 {
			d.Principal = &authz.Principal{AuthMethod: authz.AuthMethodJWT, User: fmt.Sprint(i, long), ClientID: long, Issuer: long, Scopes: scopes}
		}
		recent.Observer(began).Observe(&r, &d)
	}
	bytes, entries := 0, 0
	for _, h := range []*half{&recent.principals, &recent.strangers} {
		sum, owned := 0, 0
		for at := h.all.entries.Front(); at != nil; at = at.Next() {
			sum += at.Value.(*entry).denial.size()
		}
		for who, own := range h.owners {
			owned += own.entries.Len()
			if own.entries.Len() == 0 {
				t.Errorf("%v takes space without a denial", who)
			}
		}
		if sum != h.all.bytes || owned != h.all.entries.Len() || sum > maxBytes/2 {
			t.Errorf("%d bytes, counted as %d; %d denials, %d of owners", sum, h.all.bytes, h.all.entries.Len(), owned)
		}
		bytes, entries = bytes+sum, entries+owned
	}
	if entries != len(recent.byID) || bytes < maxBytes*3/4 {
		t.Errorf("%d denials by id, %d in all, %d bytes", len(recent.byID), entries, bytes)
	}
	n := recent.Get("19999")
	if len(n.Path) != maxPath || !n.Truncated || len(n.Host) != maxHost || len(n.Cause) != maxCause {
		t.Errorf("%d %v %d %d", len(n.Path), n.Truncated, len(n.Host), len(n.Cause))
	}
	// One that is larger than a share is dropped, and takes no other's place.
	small := New(Config{MaxBytes: 64 << 10})
	deny(small, "before", "192.0.2.1", nil)
	r := authz.Request{Target: "/" + long, Host: long, RequestID: long}
	small.Observer(began).Observe(&r, &authz.Decision{ID: "large", Cause: errors.New(long)})
	if small.Get("before") == nil || small.Get("large") != nil {
		t.Error("a denial larger than a share is kept, or has taken another's place")
	}
}

// TestNothingSecretIsKept: no header, no query, no credential that a client put
// elsewhere, and no memory of the message that the request's strings point into.
func TestNothingSecretIsKept(t *testing.T) {
	secret, err := apikey.Generate(zeros{}, "kw_", apikey.FormatKeyward)
	if err != nil {
		t.Fatal(err)
	}
	key := secret.Reveal()
	jwt := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	for _, target := range []string{
		"/a?api_key=" + key, "/a#" + key, "/reset/" + key, "/reset/" + key + "/now", "/" + jwt + "/x", "/x=" + key + ";y",
		"/" + strings.Repeat("a", maxPath-len(key)) + "/" + key, "/" + strings.Repeat("a/", maxPath/2-6) + jwt, "/v1_" + key, "//" + key,
	} {
		message := []byte("GET" + target + "192.0.2.1")
		text := unsafe.String(&message[0], len(message))
		recent := New(Config{})
		r := authz.Request{
			Method: text[:3], Target: text[3 : 3+len(target)], Peer: text[3+len(target):], RequestID: "id of " + key,
			Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + key}, {Name: "cookie", Value: key}},
		}
		recent.Observer(began).Observe(&r, &authz.Decision{ID: "ID", Reason: authz.UnknownKey, Cause: errors.New("not " + jwt), At: began})
		n := recent.Get("ID")
		path := n.Path
		copy(message, strings.Repeat("z", len(message)))
		if n.Path != path || n.Method != "GET" || n.Client != "192.0.2.1" {
			t.Errorf("%s: the memory of the message is kept", target)
		}
		all := fmt.Sprintf("%+v", *n)
		if strings.Contains(all, key[:20]) || strings.Contains(all, "c2lnbm") || strings.Contains(all, "eyJ") {
			t.Errorf("%s: kept: %s", target, all)
		}
	}
}

// zeros is a source of bytes that are not random.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRedact(t *testing.T) {
	long := strings.Repeat("a", 44)
	for _, text := range []string{"", "/", "/posts/" + long, "/eyJ/a.b", "/" + long + "/\xff\xfe", "/a.b.c", "/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"} {
		if got := Redact(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got, want := Redact("/\xff/"+strings.ToUpper(long)+"/\xfe"), "/\xff/redacted/\xfe"; got != want {
		t.Errorf("a key in hexadecimal: %q, want %q", got, want)
	}
	if got, want := Redact("//setup/"+apikey.TokenPrefix+long[:43]), "//setup/redacted"; got != want {
		t.Errorf("a code: %q, want %q", got, want)
	}
}

// FuzzRedact: redacting again changes nothing, and no key is left.
func FuzzRedact(f *testing.F) {
	secret, _ := apikey.Generate(zeros{}, "kw_", apikey.FormatKeyward)
	f.Add("/a/", "/b")
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30", "")
	f.Add("\xff", ".x")
	f.Fuzz(func(t *testing.T, before, after string) {
		once := Redact(before + "/" + secret.Reveal() + "/" + after)
		if strings.Contains(once, secret.Reveal()) {
			t.Fatalf("%q", once)
		}
		if twice := Redact(once); twice != once {
			t.Fatalf("%q, then %q", once, twice)
		}
	})
}

func TestRaces(t *testing.T) {
	recent := New(Config{Max: 100})
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 2000 {
				deny(recent, fmt.Sprint(n, "-", i), fmt.Sprintf("192.0.2.%d", i%256), nil)
				if kept := recent.Get(fmt.Sprint(n, "-", i/2)); kept != nil && kept.Reason != "unknown_key" {
					t.Error(kept)
				}
			}
		})
	}
	all.Wait()
	if len(recent.byID) > 50 {
		t.Errorf("%d are kept", len(recent.byID))
	}
}

func BenchmarkObserve(b *testing.B) {
	recent := New(Config{})
	b.ReportAllocs()
	for i := range b.N {
		deny(recent, fmt.Sprint(i), fmt.Sprintf("10.0.%d.%d", i/256%256, i%256), nil)
	}
}

// TestSizeIsNotTooLow: the bound on bytes holds for the memory that is taken, and
// not only for what is counted.
func TestSizeIsNotTooLow(t *testing.T) {
	for name, principal := range map[string]func(i int) *authz.Principal{
		"strangers":  func(int) *authz.Principal { return nil },
		"principals": func(i int) *authz.Principal { return keyOf(fmt.Sprint("user", i)) },
	} {
		const n = 10_000
		recent := New(Config{Max: 2 * n, MaxBytes: 1 << 30})
		before := heap()
		for i := range n { // each of another owner, which takes the most
			deny(recent, fmt.Sprintf("ABCDEFGHIJKLMNOP%010d", i), fmt.Sprintf("10.0.%d.%d", i/256, i%256), principal(i))
		}
		taken, counted := int(heap()-before), recent.principals.all.bytes+recent.strangers.all.bytes
		if taken > counted || taken < counted/2 {
			t.Errorf("%s: %d bytes each, counted as %d", name, taken/n, counted/n)
		}
		runtime.KeepAlive(recent)
	}
}

// heap returns the size of the objects that are in use.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
