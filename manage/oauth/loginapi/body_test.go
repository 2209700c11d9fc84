package loginapi

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// FuzzBody: what is read of a body is what encoding/json reads of it, and an error gives
// nothing of it.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"username": "alice", "password": "x"}`, `{"refresh_token": "kwt_x", "cookie": true}`, `{}`, `[]`, `{"username": 5}`, `{"cookie": "true"}`, `{"username": "a", "username": "b"}`,
		`{"password": null}`, `{"a": {"b": [1, {"c": {}}]}}`, "{\"username\": \"\xff\"}", `{"username": "\ud800"}`, `{"username": "a"} {}`, "", `null`, `{"Username": "a"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sent, wrong := parseBody([]byte(text))
		if wrong != nil {
			if sent.members != nil || sent.Cookie || wrong.status < 400 || wrong.status > 499 || wrong.detail == "" {
				t.Errorf("%q: %+v with %+v", text, wrong, sent)
			}
			return
		}
		var all map[string]any
		decoder := json.NewDecoder(strings.NewReader(text))
		if err := decoder.Decode(&all); err != nil || all == nil {
			t.Fatalf("%q is accepted: %v", text, err)
		}
		if _, err := decoder.Token(); err != io.EOF {
			t.Errorf("%q is accepted with more behind it", text)
		}
		for _, name := range []string{"username", "password", "refresh_token"} {
			if want, is := all[name].(string); want != sent.text(name) || !is && all[name] != nil {
				t.Errorf("%q: %s is %q, want %v", text, name, sent.text(name), all[name])
			}
		}
		cookie, is := all["cookie"].(bool)
		if _, there := all["cookie"]; cookie != sent.Cookie || there && !is {
			t.Errorf("%q: cookie is %v", text, sent.Cookie)
		}
	})
}
