package e2e

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"keyward/internal/prove"
	cookies "keyward/manage/session"
)

const (
	pagesEvery  = 20 // per second
	maxPageSize = 100_000
	firstByte   = 100 * time.Millisecond
)

// pages requests pages of the console: the first byte comes soon, and no page is large,
// however many keys there are.
func (s *scale) pages() {
	s.t.Helper()
	const password = "correct horse battery"
	s.call("POST", "/users", `{"name": "ops", "password": "`+password+`", "scopes": ["keyward:admin"]}`, nil)
	s.cookie = s.logIn("ops", password)
	for _, path := range scalePages {
		var took []time.Duration
		for range prove.Size(3, 100) {
			began := time.Now()
			size, first := s.page(path)
			if took = append(took, first.Sub(began)); size > maxPageSize {
				s.t.Errorf("%s has %d bytes", path, size)
			}
		}
		s.within(path, took, firstByte)
	}
}

// scalePages are lists, of all keys and of few, and searches that find all, one and none.
var scalePages = []string{
	"/keys", "/keys?sort=created", "/keys?state=active", "/keys?state=expiring", "/keys?state=rotating", "/keys?state=paused", "/keys?state=revoked", "/keys?state=expired",
	"/keys?user=" + "user-7", "/keys?q=key", "/keys?q=key+24999", "/keys?q=no+such+name", "/keys?unused_for=90d&state=active", "/overview", "/users", "/audit",
}

// logIn returns the cookie of a session.
func (s *scale) logIn(user, password string) string {
	s.t.Helper()
	form := url.Values{"username": {user}, "password": {password}}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.address+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = answer.Body.Close()
	for _, cookie := range answer.Cookies() {
		if cookie.Name == cookies.CookieName {
			return cookie.Value
		}
	}
	s.t.Fatalf("the login: %s", answer.Status)
	return ""
}

// page requests a page, and returns its size, and when its first byte came.
func (s *scale) page(path string) (size int, first time.Time) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.address+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Cookie", cookies.CookieName+"="+s.cookie)
	answer, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	first = time.Now()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %v", path, answer.Status, err)
	}
	return len(text), first
}
