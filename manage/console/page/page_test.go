package page

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/manage/fault"
)

// FuzzLocalPath: no text leads to another host, as a browser reads it, which takes a
// backslash for a slash and leaves out tabs and line breaks.
func FuzzLocalPath(f *testing.F) {
	for _, text := range []string{"/keys?a=b#c", "//evil.example", `/\evil.example`, "/\t/evil.example", "/%2f/evil.example", "https://evil.example/", "/.//evil.example", "/..//evil.example"} {
		f.Add(text)
	}
	base := &url.URL{Scheme: "https", Host: "console.example.com", Path: "/login"}
	f.Fuzz(func(t *testing.T, text string) {
		path := LocalPath(text, "/")
		asRead := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(path)
		u, err := base.Parse(asRead)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || !strings.HasPrefix(asRead, "/") || strings.HasPrefix(asRead, "//") {
			t.Errorf("%q leads to %q", text, path)
		}
		if again := LocalPath(path, "/"); again != path {
			t.Errorf("%q becomes %q, and then %q", text, path, again)
		}
	})
}

// TestTake: what is wrong with a record's member is said at its field, in a sentence, and
// what is not about the form is not taken.
func TestTake(t *testing.T) {
	fields := Fields{{"name", "name", "Name"}, {"paths", "paths", "Paths"}, {"expires", "end", "Expiry"}}
	f := NewForm(nil)
	if !f.Take(fault.InvalidMembers(fault.FieldError{Pointer: "/expires", Detail: "is not in the future"}, fault.FieldError{Pointer: "/paths/1", Detail: "path 2 of the list: wrong"}, fault.FieldError{Pointer: "/x", Detail: "is unknown"}), fields) {
		t.Fatal("not taken")
	}
	f.TakeMore(fault.InvalidMembers(fault.FieldError{Pointer: "/expires", Detail: "is wrong"}, fault.FieldError{Pointer: "/paths", Detail: "is empty"}), fields)
	f.Arrange(fields)
	want := []FieldError{{"name", "Is unknown."}, {"paths", "Paths: path 2 of the list: wrong."}, {"end", "Expiry is not in the future."}}
	if !slices.Equal(f.Errors, want) || f.Attention() != "3 fields need attention" || f.Error("end") != want[2].Text {
		t.Errorf("%q", f.Errors)
	}
	for _, code := range []fault.Code{fault.Forbidden, fault.Changed, fault.NotFound, fault.StoreUnavailable, fault.Reauthenticate} {
		if NewForm(nil).Take(fault.Refuse(code, "x"), fields) {
			t.Errorf("%s is taken", code)
		}
	}
	if NewForm(nil).Take(nil, fields) {
		t.Error("no error is taken")
	}
}

// TestRelative: a time is said by its largest unit.
func TestRelative(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "less than a minute ago", time.Minute: "1 minute ago", 90 * time.Minute: "1 hour ago", 47 * time.Hour: "47 hours ago", 59 * 24 * time.Hour: "59 days ago",
		90 * 24 * time.Hour: "3 months ago", -time.Hour: "in 1 hour", -72 * time.Hour: "in 3 days",
	} {
		if got := Relative(now.Add(-ago), now); got != want {
			t.Errorf("%v: %q, want %q", ago, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := Count(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// TestWithoutPasswords: what is kept of a form has no password of it.
func TestWithoutPasswords(t *testing.T) {
	sent := url.Values{"name": {"a"}}
	for _, field := range passwordFields {
		sent.Set(field, "secret")
	}
	if got := withoutPasswords(sent).Encode(); got != "name=a" {
		t.Errorf("%q", got)
	}
}
