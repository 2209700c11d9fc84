package pgurl

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]error{
		"postgres://keyward@db.example.com:5432/keyward":                     nil,
		"postgresql://keyward@db.example.com/keyward?sslmode=verify-ca":      nil,
		"postgres://keyward@/keyward?host=/run/postgresql":                   nil,
		"postgres://db.example.com/keyward?sslmode=disable":                  nil,
		"postgres:///keyward?service=prod":                                   nil,
		"postgres://keyward:hunter2@db.example.com/keyward":                  ErrPassword,
		"postgres://keyward:@db.example.com/keyward":                         ErrPassword,
		"postgres://keyward@db.example.com/keyward?password=hunter2":         ErrPassword,
		"postgres://keyward@db.example.com/keyward?sslpassword=hunter2":      ErrPassword,
		"postgres://keyward@db.example.com/keyward?sslmode=prefer":           ErrSSLMode,
		"postgres://keyward@db.example.com/keyward?sslmode=allow":            ErrSSLMode,
		"postgres://keyward@db.example.com/keyward?sslmode=":                 ErrSSLMode,
		"postgres://keyward@db.example.com/keyward?sslmode=Verify-Full":      ErrSSLMode,
		"postgres://db.example.com/keyward?sslmode=verify-full&sslmode=none": ErrForm,
		"postgres://db.example.com/keyward?sslmode=%zz":                      ErrForm,
		"postgres://keyward@db.example.com/keyward#hunter2":                  ErrForm,
		"postgres:keyward":                            ErrForm,
		"mysql://keyward@db.example.com/keyward":      ErrForm,
		"host=db.example.com password=hunter2":        ErrForm,
		"postgres://keyward@db.example.com:x/hunter2": ErrForm,
		"": ErrForm,
	} {
		u, err := Parse(text)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || u != (URL{})) {
			t.Errorf("%q: %v and %q", text, err, u)
		}
		if err == nil && u.String() != text {
			t.Errorf("%q is %q", text, u)
		}
	}
}

func TestSSLMode(t *testing.T) {
	for _, c := range []struct {
		url  string
		env  map[string]string
		want string // "": ErrSSLMode
	}{
		{"postgres://u@db.example.com/d", nil, "verify-full"},
		{"postgres://u@10.0.0.1:5432/d", nil, "verify-full"},
		{"postgres://u@db.example.com/d?sslmode=require", nil, "require"},
		{"postgres://u@db.example.com/d?sslmode=disable", nil, "disable"},
		{"postgres://u@db.example.com/d?sslmode=verify-full", map[string]string{"PGSSLMODE": "disable"}, "verify-full"},
		{"postgres://u@db.example.com/d", map[string]string{"PGSSLMODE": "verify-ca"}, "verify-ca"},
		{"postgres://u@db.example.com/d", map[string]string{"PGSSLMODE": "prefer"}, ""},
		{"postgres://u@localhost/d", map[string]string{"PGSSLMODE": "allow"}, ""},
		{"postgres://u@localhost/d", nil, "disable"},
		{"postgres://u@127.0.0.1:5432/d", nil, "disable"},
		{"postgres://u@[::1]:5432/d", nil, "disable"},
		{"postgres://u@[2001:db8::1]:5432/d", nil, "verify-full"},
		{"postgres://u@/d?host=/run/postgresql", nil, "disable"},
		{"postgres://u@localhost/d?host=db.example.com", nil, "verify-full"},
		{"postgres://u@/d?host=/run/postgresql,db.example.com", nil, "verify-full"},
		{"postgres://u@/d?host=127.0.0.1,::1", nil, "disable"},
		{"postgres://u@localhost.example.com/d", nil, "verify-full"},
		{"postgres://u@/d", nil, "disable"},
		{"postgres://u@/d", map[string]string{"PGHOST": "db.example.com"}, "verify-full"},
		{"postgres://u@/d", map[string]string{"PGHOST": "/run/postgresql"}, "disable"},
		{"postgres://u@/d", map[string]string{"PGSERVICE": "prod"}, "verify-full"},
		{"postgres://u@/d?service=prod", nil, "verify-full"},
	} {
		u, err := Parse(c.url)
		if err != nil {
			t.Fatal(c.url, err)
		}
		text, err := u.ConnString(func(name string) string { return c.env[name] })
		if c.want == "" {
			if !errors.Is(err, ErrSSLMode) {
				t.Errorf("%s, %v: %q, %v", c.url, c.env, text, err)
			}
			continue
		}
		full, parseErr := url.Parse(text)
		if err != nil || parseErr != nil || full.Query().Get("sslmode") != c.want {
			t.Errorf("%s, %v: %q, %v; want %s", c.url, c.env, text, err, c.want)
		}
	}
}

// FuzzParse: what is accepted has no password, and is the same when it is read again.
func FuzzParse(f *testing.F) {
	f.Add("postgres://keyward@db.example.com:5432/keyward?sslmode=require")
	f.Add("postgres://keyward:hunter2@/keyward?host=/run/postgresql")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(u.String())
		if err != nil || again.String() != u.String() {
			t.Errorf("%q: %q, then %q, %v", text, u, again, err)
		}
		full, err := u.ConnString(func(string) string { return "" })
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, err := Parse(full); err != nil {
			t.Errorf("%q: %q, %v", text, full, err)
		}
	})
}
