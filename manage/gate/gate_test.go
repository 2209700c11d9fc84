package gate

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestShares: one caller takes its share and no more, and leaves room for others.
func TestShares(t *testing.T) {
	g := New()
	for range callerShare {
		if !g.Take("alice") {
			t.Fatal("a caller does not get its share")
		}
	}
	if g.Take("alice") {
		t.Error("a caller gets more than its share")
	}
	if !g.Take(Stranger) {
		t.Error("another caller is kept out")
	}
	g.Give("alice")
	if !g.Take("alice") {
		t.Error("what was given back is not taken")
	}
}

// TestSlots: requests are served at once up to the bound.
func TestSlots(t *testing.T) {
	g := New()
	for range concurrency {
		if !g.Enter() {
			t.Fatal("too few are served")
		}
	}
	if g.Enter() {
		t.Error("too many are served")
	}
	g.Leave()
	if !g.Enter() {
		t.Error("a place that was left is not taken")
	}
}

// TestReadBody: a body of the bound is read, and one byte more is not.
func TestReadBody(t *testing.T) {
	for body, want := range map[string]error{"12345678": nil, "123456789": ErrTooLarge} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		if _, err := ReadBody(httptest.NewRecorder(), r, 8, BodyTime); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", len(body), err)
		}
	}
}
