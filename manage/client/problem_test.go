package client

import (
	"errors"
	"strings"
	"testing"

	"keyward/chars"
	"keyward/manage/fault"
	"keyward/store"
)

// TestProblems: the error of each refusal.
func TestProblems(t *testing.T) {
	const prefix = `{"type": "https://keyward.dev/errors/`
	for _, test := range []struct {
		status int
		body   string
		is     error
		text   string
	}{
		{404, prefix + `not_found"}`, store.ErrNotFound, "answers 404 not_found"},
		{409, prefix + `ended"}`, store.ErrRevoked, "answers 409 ended"},
		{412, prefix + `changed"}`, store.ErrChanged, "answers 412 changed"},
		{422, prefix + `invalid", "errors": [{"pointer": "/rate", "detail": "is not a rate"}, {"pointer": "", "detail": "a name"}]}`, store.ErrInvalid, ""},
		{403, prefix + `forbidden", "detail": "keys of others need the scope keyward:keys"}`, &fault.Error{Code: fault.Forbidden}, "answers 403 forbidden: keys of others need the scope keyward:keys"},
		{401, prefix + `unauthenticated", "detail": "expired", "decision_id": "d_1"}`, &fault.Error{Code: "unauthenticated"}, "answers 401 unauthenticated: expired (decision d_1)"},
		{502, `<html>`, nil, "answers 502 Bad Gateway, which is not a problem of Keyward's"},
		{404, `{"type": "about:blank", "detail": "<b>"}`, nil, "answers 404 Not Found, which is not a problem of Keyward's"},
		{200, `<html>`, nil, "not the management API of a Keyward"},
	} {
		f := newFakeServer(t, answers(test.status, test.body))
		_, err := f.Key(t.Context(), someID)
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%d %s: %v", test.status, test.body, err)
		}
	}
	f := newFakeServer(t, answers(422, prefix+`invalid", "errors": [{"pointer": "/line/3/rate", "detail": "is not a rate"}, {"pointer": "", "detail": "a name"}]}`))
	_, err := f.Key(t.Context(), someID)
	if got := fault.AsError(err).Cause.Error(); got != "invalid: line 3 rate: is not a rate; a name" {
		t.Error(got)
	}
}

// FuzzProblem: whatever a server answers, the error has not the token, and nothing that
// controls a terminal.
func FuzzProblem(f *testing.F) {
	f.Add(403, `{"type": "https://keyward.dev/errors/forbidden", "detail": "`+token.Reveal()+`"}`)
	f.Add(422, `{"type": "https://keyward.dev/errors/invalid", "errors": [{"pointer": "/`+token.Reveal()+`", "detail": "\u001b[31m"}]}`)
	f.Add(401, `{"type": "https://keyward.dev/errors/`+token.Reveal()+`", "decision_id": "\u202e"}`)
	f.Add(502, "\x1b[31m")
	c, err := New(Config{URL: "https://keyward.example.com", Token: token})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		got := c.problem(answer{status, []byte(body)})
		text := got.Error()
		if e := fault.AsError(got); e != nil {
			text = e.Detail
			if e.Cause != nil {
				text += e.Cause.Error()
			}
		}
		if strings.Contains(text, token.Reveal()) || strings.ContainsFunc(text, chars.IsHidden) {
			t.Errorf("%q", text)
		}
	})
}

// TestTokenHidden: an error of the connection has not the token, should the server put
// it there.
func TestTokenHidden(t *testing.T) {
	c, err := New(Config{URL: "https://keyward.example.com", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("malformed: " + token.Reveal() + "\x1b")
	if got := c.hide(cause); strings.Contains(got.Error(), token.Reveal()) || strings.ContainsFunc(got.Error(), chars.IsHidden) || !errors.Is(got, cause) {
		t.Error(got)
	}
}
