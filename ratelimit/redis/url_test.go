package redis

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]endpoint{
		"redis://h":                       {addresses: []string{"h:6379"}},
		"redis://h:1/":                    {addresses: []string{"h:1"}},
		"redis://h:1/3":                   {addresses: []string{"h:1"}, db: 3},
		"redis://[::1]:7":                 {addresses: []string{"[::1]:7"}},
		"redis://[::1]":                   {addresses: []string{"[::1]:6379"}},
		"rediss://u:p@h:1":                {secure: true, addresses: []string{"h:1"}, username: "u", password: "p"},
		"redis://:p%40%2F@h:1":            {addresses: []string{"h:1"}, password: "p@/"},
		"unix:///run/redis.sock":          {addresses: []string{"/run/redis.sock"}},
		"unix://:p@/run/redis.sock?db=2":  {addresses: []string{"/run/redis.sock"}, password: "p", db: 2},
		"redis+cluster://a:1,b:2,c":       {kind: cluster, addresses: []string{"a:1", "b:2", "c:6379"}},
		"rediss+cluster://u:p@a:1":        {kind: cluster, secure: true, addresses: []string{"a:1"}, username: "u", password: "p"},
		"redis+sentinel://a,b:2/main":     {kind: sentinel, addresses: []string{"a:26379", "b:2"}, master: "main"},
		"rediss+sentinel://:p@a:1/main/4": {kind: sentinel, secure: true, addresses: []string{"a:1"}, password: "p", master: "main", db: 4},
	} {
		got, err := parseURL(text)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %+v %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "h:6379", "memory", "http://h", "REDIS://h", "redis:h", "redis://", "redis:///0", "redis://h:0", "redis://h:65536", "redis://h:x", "redis://h:",
		"redis://a,b", "redis://h/x", "redis://h/-1", "redis://h/1/2", "redis://h?db=1", "redis://h/0?x=y", "redis://h#f", "redis://::1", "redis://a%20b",
		"redis://h/0/", "redis://u:%zz@h", "redis+cluster://a/1", "redis+cluster://a,,b", "redis+cluster://", "redis+sentinel://a", "redis+sentinel://a/",
		"redis+sentinel://a/m/x", "unix://", "unix:///", "unix://h/s", "unix:///s?x=1", "unix:///s?db=", "redis://h\n", "redis://h h",
	} {
		if got, err := parseURL(text); err != ErrURL || fmt.Sprint(got) != fmt.Sprint(endpoint{}) {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
}

func TestTLSOptions(t *testing.T) {
	p, _ := parseURL("rediss://h:1")
	if o := p.options(nil); o.TLSConfig == nil || o.TLSConfig.ServerName != "h" || o.TLSConfig.MinVersion != tls.VersionTLS12 || o.TLSConfig.InsecureSkipVerify {
		t.Errorf("%+v", o.TLSConfig)
	}
	own := &tls.Config{ServerName: "x", MinVersion: tls.VersionTLS13}
	if o := p.options(own); o.TLSConfig == own || o.TLSConfig.ServerName != "x" || o.TLSConfig.MinVersion != tls.VersionTLS13 {
		t.Errorf("%+v", o.TLSConfig)
	}
	p, _ = parseURL("redis://h:1")
	if o := p.options(own); o.TLSConfig != nil {
		t.Error("TLS although the URL has none")
	}
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{"redis://u:p@h:1/3", "rediss+cluster://a:1,b", "redis+sentinel://a/m/1", "unix:///s?db=1", "redis://[::1]:7"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseURL(text)
		if err != nil {
			if err != ErrURL || len(p.addresses) > 0 || p.password != "" {
				t.Fatalf("%q: %+v %v", text, p, err)
			}
			return
		}
		if len(p.addresses) == 0 || (p.kind == sentinel) != (p.master != "") || p.secure != strings.HasPrefix(text, "rediss") {
			t.Fatalf("%q: %+v", text, p)
		}
		_ = p.options(nil)
	})
}
