package denials

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
)

// FuzzParse: a line is a denial with a reason that denies and texts within bounds, or
// nothing.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"decision":"deny","reason":"unknown_key","path":"/a","transport":"grpc","auth_method":"api_key","key_id":"k_1"}`))
	f.Add([]byte(`{"decision":"error","reason":"unavailable","path":"/","id":5}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		n, err := Parse(line)
		if (n == nil) == (err == nil) {
			t.Fatalf("%v, %v", n, err)
		}
		if n != nil && (n.reason.Allows() || n.Status < 400 || len(n.Path) > maxPath || len(n.Subject) > maxName) {
			t.Errorf("%+v", n)
		}
	})
}

// TestParseRepeatable: only what the line has completely is decided again. What a token
// granted is not in it.
func TestParseRepeatable(t *testing.T) {
	for line, want := range map[string]bool{
		`"transport":"grpc","auth_method":"api_key","key_id":"k_1"`:  true,
		`"transport":"grpc","auth_method":"api_key"`:                 false,
		`"transport":"grpc","auth_method":"basic","subject":"alice"`: true,
		`"transport":"grpc","auth_method":"jwt","subject":"alice"`:   false,
		`"transport":"grpc"`: true,
		`"transport":"verify","auth_method":"api_key","key_id":"k_1"`: false,
		`"transport":"manage","auth_method":"api_key","key_id":"k_1"`: false,
		`"transport":"other"`: false,
		`"transport":"grpc","route":"` + strings.Repeat("r", maxPath+1) + `"`: true,
	} {
		n, err := Parse([]byte(`{"decision":"deny","reason":"no_credential","path":"/a",` + line + `}`))
		if err != nil || n.repeatable != want {
			t.Errorf("%s: %v, %v", line, n, err)
		}
		if !slices.Contains(n.assumptions(), "the client used https") {
			t.Errorf("%s: that https was used is taken for known", line)
		}
	}
}

// TestLatest: the newest denials of principals and of strangers, in their order, and no more
// than are asked for.
func TestLatest(t *testing.T) {
	recent := New(Config{})
	if got := recent.Latest(5); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
	for i, p := range []*authz.Principal{keyOf("a"), nil, nil, keyOf("b"), keyOf("c"), nil} {
		r := authz.Request{Transport: authz.TransportGRPC, Target: "/", Peer: "192.0.2.1"}
		d := authz.Decision{ID: fmt.Sprint(i), Reason: authz.UnknownKey, Principal: p, At: began.Add(time.Duration(i) * time.Second)}
		recent.Observer(began).Observe(&r, &d)
	}
	for n, want := range map[int]string{0: "", 1: "5", 4: "5432", 6: "543210", 9: "543210"} {
		got := ""
		for _, d := range recent.Latest(n) {
			got += d.ID
		}
		if got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
