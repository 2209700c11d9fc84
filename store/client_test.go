package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store/jsonline"
)

const (
	digest01   = "0100000000000000000000000000000000000000000000000000000000000000"
	digest02   = "0200000000000000000000000000000000000000000000000000000000000000"
	clientLine = `{"id":"c_0123456789ab","name":"Shop","redirect_uris":["https://shop.example.com/cb"],"scopes":["read"],` +
		`"grants":["authorization_code","refresh_token","client_credentials"],"disabled":true,"hash":"` + digest01 + `",` +
		`"previous":[{"hash":"` + digest02 + `","until":"2026-06-01T12:00:00Z"}],"created":"2026-05-01T12:00:00Z","created_by":"alice",` +
		`"rotated":"2026-05-01T12:00:00Z","deleted":"2026-06-01T12:00:00Z","gen":3,"at":"2026-06-01T12:00:00Z","seq":7}`
	publicLine = `{"id":"c_0123456789ab","redirect_uris":["http://127.0.0.1/cb"],"grants":["authorization_code"],"public":true,"created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`
)

var newerClientLines = map[string]string{
	"a member":              `{"id":"c_0123456789ab","logo":{"url":"x"},"hash":"` + digest01 + `","created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
	"of a previous secret":  `{"id":"c_0123456789ab","hash":"` + digest01 + `","previous":[{"hash":"` + digest02 + `","why":[1]}],"created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
	"must":                  `{"id":"c_0123456789ab","must":["cidrs"],"cidrs":[],"hash":"` + digest01 + `","created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
	"must and another form": `{"must":["jwks"],"id":"c_0123456789ab","jwks":{},"grants":["device_code"],"public":"no","hash":{"v2":"x"}}`,
}

func TestClientLines(t *testing.T) {
	for line, want := range map[string]Client{
		clientLine: {
			ID: "c_0123456789ab", Name: "Shop", RedirectURIs: []string{"https://shop.example.com/cb"}, Scopes: []string{"read"}, Grants: Grants(), Disabled: true,
			Hash: apikey.Digest{1}, Previous: []PreviousSecret{{Hash: apikey.Digest{2}, Until: june}}, Created: may, CreatedBy: "alice", Rotated: may, Deleted: june, Gen: 3, At: june, Seq: 7,
		},
		publicLine: {
			ID: "c_0123456789ab", RedirectURIs: []string{"http://127.0.0.1/cb"}, Grants: []Grant{GrantAuthorizationCode}, Public: true, Created: may, At: may,
		},
	} {
		var d ClientDecoder
		got, err := d.Decode([]byte(line))
		if err != nil || !reflect.DeepEqual(got.Clone(), want) {
			t.Errorf("%s\nread as %+v, %v", line, got, err)
		}
		if written, err := want.Line(); err != nil || string(written) != line+"\n" {
			t.Errorf("%s\nwritten as %s, %v", line, written, err)
		}
	}
}

func TestClientLinesRefused(t *testing.T) {
	swap := func(line, old, new string) string {
		if !strings.Contains(line, old) {
			t.Fatalf("%q is not in the line", old)
		}
		return strings.Replace(line, old, new, 1)
	}
	for name, line := range map[string]string{
		"no id":                        swap(clientLine, `"id":"c_0123456789ab",`, ""),
		"the id of a key":              swap(clientLine, "c_0123456789ab", "k_0123456789ab"),
		"a short id":                   swap(clientLine, "c_0123456789ab", "c_0123456789a"),
		"no hash":                      swap(clientLine, `"hash":"`+digest01+`",`, ""),
		"a hash of zeros":              swap(clientLine, digest01, strings.Repeat("0", 64)),
		"a short hash":                 swap(clientLine, digest01, "01"),
		"public, with a hash":          swap(publicLine, `"public":true`, `"public":true,"hash":"`+digest01+`"`),
		"public, with an old secret":   swap(publicLine, `"public":true`, `"public":true,"previous":[]`),
		"public, with credentials":     swap(publicLine, `["authorization_code"]`, `["authorization_code","client_credentials"]`),
		"refresh tokens alone":         swap(publicLine, `["authorization_code"]`, `["refresh_token"]`),
		"an unknown grant":             swap(clientLine, "client_credentials", "password"),
		"a grant twice":                swap(clientLine, "client_credentials", "refresh_token"),
		"four grants":                  swap(clientLine, `"client_credentials"`, `"client_credentials","client_credentials"`),
		"a grant that is a number":     swap(clientLine, `"client_credentials"`, "1"),
		"a redirect to another scheme": swap(clientLine, "https://shop", "javascript://shop"),
		"a redirect in the clear":      swap(clientLine, "https://shop", "http://shop"),
		"a scope with a quote":         swap(clientLine, `"read"`, `"re\"ad"`),
		"no created":                   swap(publicLine, `"created":"2026-05-01T12:00:00Z",`, ""),
		"no at":                        swap(publicLine, `,"at":"2026-05-01T12:00:00Z"`, ""),
		"101 old secrets":              swap(clientLine, `"previous":[`, `"previous":[`+strings.Repeat(`{"hash":"`+digest02+`"},`, maxPrevious)),
		"must, and no id":              `{"must":["jwks"],"id":"k_0123456789ab"}`,
	} {
		var d ClientDecoder
		var bad jsonline.Error
		if r, err := d.Decode([]byte(line)); !errors.As(err, &bad) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestNewerClientLines: what must be understood disables the client, and nothing that
// was written is lost.
func TestNewerClientLines(t *testing.T) {
	for name, line := range newerClientLines {
		var d ClientDecoder
		r, err := d.Decode([]byte(line))
		if err != nil || r.ID != "c_0123456789ab" || r.Unsupported != strings.HasPrefix(name, "must") || r.Enabled() == r.Unsupported {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		before := r.Clone()
		before.Disabled = true
		again, err := before.Line()
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, again, before.Unknown, before.Unsupported, clientKind.bitOf)
		if back, err := d.Decode(again); err != nil || back.Unknown != before.Unknown || back.Unsupported != before.Unsupported || !back.Disabled {
			t.Errorf("%s: %+v, %v", name, back, err)
		}
		if name == "of a previous secret" && !strings.Contains(string(again), `"why":[1]`) {
			t.Errorf("written again as %s", again)
		}
	}
}

// TestClientSecrets is the policy: which secret authenticates which client, and when.
func TestClientSecrets(t *testing.T) {
	one, two := apikey.Digest{1}, apikey.Digest{2}
	with := func(change func(*Client)) Client {
		r := Client{ID: "c_0123456789ab", Hash: one}
		change(&r)
		return r
	}
	old := func(until time.Time) func(*Client) {
		return func(r *Client) { r.Previous = []PreviousSecret{{Hash: two, Until: until}} }
	}
	for name, c := range map[string]struct {
		client Client
		secret apikey.Digest
		want   bool
	}{
		"its secret":                      {with(func(*Client) {}), one, true},
		"another secret":                  {with(func(*Client) {}), two, false},
		"of a disabled client":            {with(func(r *Client) { r.Disabled = true }), one, false},
		"of a deleted client":             {with(func(r *Client) { r.Deleted = may }), one, false},
		"of one that is not supported":    {with(func(r *Client) { r.Unsupported = true }), one, false},
		"of a public client":              {with(func(r *Client) { r.Public = true }), one, false},
		"no secret of a client without":   {with(func(r *Client) { r.Hash = apikey.Digest{} }), apikey.Digest{}, false},
		"of no client":                    {Client{}, apikey.Digest{}, false},
		"the old one, in its grace":       {with(old(june.Add(1))), two, true},
		"the new one, in the grace":       {with(old(june.Add(1))), one, true},
		"the old one, at the grace's end": {with(old(june)), two, false},
		"the old one, without a grace":    {with(old(time.Time{})), two, false},
		"the old one, of a disabled client": {with(func(r *Client) {
			old(june.Add(1))(r)
			r.Disabled = true
		}), two, false},
	} {
		if got := c.client.Accepts(&c.secret, june); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCheckClient(t *testing.T) {
	code, refresh, own := GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials
	here, there := []string{"https://shop.example.com/cb"}, []string{"http://shop.example.com/cb"}
	many := make([]string, MaxRedirectURIs+1)
	for i := range many {
		many[i] = fmt.Sprint("https://shop.example.com/", i)
	}
	for name, c := range map[string]struct {
		client Client
		ok     bool
	}{
		"a confidential client":            {Client{Name: "Shop", RedirectURIs: here, Grants: []Grant{code, refresh, own}, Scopes: []string{"read"}}, true},
		"a public client":                  {Client{RedirectURIs: here, Grants: []Grant{code, refresh}, Public: true}, true},
		"a program":                        {Client{Grants: []Grant{own}}, true},
		"a hidden character":               {Client{Name: "Sh\u200bop", Grants: []Grant{own}}, false},
		"no grant":                         {Client{}, false},
		"a grant that is not offered":      {Client{Grants: []Grant{"password"}}, false},
		"an implicit grant":                {Client{Grants: []Grant{"implicit"}, RedirectURIs: here}, false},
		"a grant twice":                    {Client{Grants: []Grant{own, own}}, false},
		"a public client for itself":       {Client{Grants: []Grant{own}, Public: true}, false},
		"refresh tokens without a code":    {Client{Grants: []Grant{own, refresh}}, false},
		"a code, and no redirect URI":      {Client{Grants: []Grant{code}}, false},
		"a redirect URI, and no code":      {Client{Grants: []Grant{own}, RedirectURIs: here}, false},
		"a redirect in the clear":          {Client{Grants: []Grant{code}, RedirectURIs: there}, false},
		"a redirect URI twice":             {Client{Grants: []Grant{code}, RedirectURIs: append(here, here...)}, false},
		"51 redirect URIs":                 {Client{Grants: []Grant{code}, RedirectURIs: many}, false},
		"a scope that is not one":          {Client{Grants: []Grant{own}, Scopes: []string{"a b"}}, false},
		"a scope for managing Keyward":     {Client{Grants: []Grant{own}, Scopes: []string{"keyward:admin"}}, false},
		"a scope for managing one's own":   {Client{Grants: []Grant{own}, Scopes: []string{"read", "keyward:self"}}, false},
		"a scope that only looks like one": {Client{Grants: []Grant{own}, Scopes: []string{"keywardish"}}, true},
	} {
		if err := c.client.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClientFilter(t *testing.T) {
	r := Client{ID: "c_0123456789ab", Name: "Shop", Grants: []Grant{GrantClientCredentials}}
	for f, want := range map[ClientFilter]bool{
		{}: true, {Text: "c_0123456789ab"}: true, {Text: "c_0123"}: false, {Text: "ho"}: true,
		{Grant: GrantClientCredentials}: true, {Grant: GrantRefreshToken}: false, {Grant: GrantClientCredentials, Text: "x"}: false,
	} {
		if f.Match(&r) != want {
			t.Errorf("%+v", f)
		}
	}
}

// TestClientVersion: what a store removes of a record is not a change, all else is.
func TestClientVersion(t *testing.T) {
	a := Client{ID: "c_0123456789ab", Created: may, At: may, Hash: apikey.Digest{1}}
	b, c := a, a
	b.Previous = []PreviousSecret{{Hash: apikey.Digest{2}}}
	c.Disabled = true
	if a.Version() != b.Version() || a.Version() == c.Version() || a.Version() == AnyVersion {
		t.Errorf("%s, %s, %s", a.Version(), b.Version(), c.Version())
	}
}

// FuzzClientLine: no line makes the reader panic, and what it reads can be written and
// is then read the same.
func FuzzClientLine(f *testing.F) {
	f.Add([]byte(clientLine))
	f.Add([]byte(publicLine))
	for _, line := range newerClientLines {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d, second ClientDecoder
		r, err := d.Decode(line)
		if err != nil {
			return
		}
		wantUnknown(t, line, r.Unknown, r.Unsupported, clientKind.bitOf)
		got := r.Clone()
		again, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		back, err := second.Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range []*Client{&got, back} { // of these the white space may change
			for i := range each.Previous {
				each.Previous[i].Unknown = ""
			}
		}
		if fmt.Sprint(*back) != fmt.Sprint(got) {
			t.Fatalf("%+v\n%+v", got, *back)
		}
	})
}
