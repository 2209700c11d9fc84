package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"keyward/apikey"
	"keyward/store/jsonline"
	"keyward/store/oauth"
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
			ID: "c_0123456789ab", Name: "Shop", RedirectURIs: []string{"https://shop.example.com/cb"}, Scopes: []string{"read"}, Grants: oauth.Grants(), Disabled: true,
			Hash: apikey.Digest{1}, Previous: []PreviousSecret{{Hash: apikey.Digest{2}, Until: june}}, Created: may, CreatedBy: "alice", Rotated: may, Deleted: june, Gen: 3, At: june, Seq: 7,
		},
		publicLine: {
			ID: "c_0123456789ab", RedirectURIs: []string{"http://127.0.0.1/cb"}, Grants: []oauth.Grant{oauth.AuthorizationCode}, Public: true, Created: may, At: may,
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
	live := swap(clientLine, `"deleted":"2026-06-01T12:00:00Z",`, "")
	for name, line := range map[string]string{
		"no id":                        swap(live, `"id":"c_0123456789ab",`, ""),
		"the id of a key":              swap(live, "c_0123456789ab", "k_0123456789ab"),
		"a short id":                   swap(live, "c_0123456789ab", "c_0123456789a"),
		"no hash":                      swap(live, `"hash":"`+digest01+`",`, ""),
		"a hash of zeros":              swap(live, digest01, strings.Repeat("0", 64)),
		"a short hash":                 swap(live, digest01, "01"),
		"public, with a hash":          swap(publicLine, `"public":true`, `"public":true,"hash":"`+digest01+`"`),
		"public, with an old secret":   swap(publicLine, `"public":true`, `"public":true,"previous":[]`),
		"an unknown grant":             swap(live, "client_credentials", "password"),
		"four grants":                  swap(live, `"client_credentials"`, `"client_credentials","client_credentials"`),
		"a grant that is a number":     swap(live, `"client_credentials"`, "1"),
		"a redirect to another scheme": swap(live, "https://shop", "javascript://shop"),
		"a redirect in the clear":      swap(live, "https://shop", "http://shop"),
		"a scope with a quote":         swap(live, `"read"`, `"re\"ad"`),
		"no created":                   swap(publicLine, `"created":"2026-05-01T12:00:00Z",`, ""),
		"no at":                        swap(publicLine, `,"at":"2026-05-01T12:00:00Z"`, ""),
		"101 old secrets":              swap(live, `"previous":[`, `"previous":[`+strings.Repeat(`{"hash":"`+digest02+`"},`, maxPrevious)),
		"must, and no id":              `{"must":["jwks"],"id":"k_0123456789ab"}`,
	} {
		var d ClientDecoder
		var bad jsonline.Error
		if r, err := d.Decode([]byte(line)); !errors.As(err, &bad) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	// A client that is deleted is so whatever else the line says.
	var d ClientDecoder
	if r, err := d.Decode([]byte(swap(clientLine, "client_credentials", "password"))); err != nil || r.Deleted.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestNewerClientLines: what must be understood disables the client, and nothing that
// was written is lost.
func TestNewerClientLines(t *testing.T) {
	for name, line := range newerClientLines {
		var d ClientDecoder
		r, err := d.Decode([]byte(line))
		if err != nil || r.ID != "c_0123456789ab" || r.Unsupported != strings.HasPrefix(name, "must") {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		before := r.Clone()
		before.Disabled = true
		again, err := before.Line()
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, again, before.Unknown, before.Unsupported, clientKind.BitOf)
		if back, err := d.Decode(again); err != nil || back.Unknown != before.Unknown || back.Unsupported != before.Unsupported || !back.Disabled {
			t.Errorf("%s: %+v, %v", name, back, err)
		}
		if name == "of a previous secret" && !strings.Contains(string(again), `"why":[1]`) {
			t.Errorf("written again as %s", again)
		}
	}
}

func TestClientFilter(t *testing.T) {
	r := Client{ID: "c_0123456789ab", Name: "Shop", Grants: []oauth.Grant{oauth.ClientCredentials}}
	for f, want := range map[ClientFilter]bool{
		{}: true, {Text: "c_0123456789ab"}: true, {Text: "c_0123"}: false, {Text: "ho"}: true,
		{Grant: oauth.ClientCredentials}: true, {Grant: oauth.RefreshToken}: false, {Grant: oauth.ClientCredentials, Text: "x"}: false,
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

// TestDeletedClient: nothing of a deleted client can be used, and its tokens have ended.
func TestDeletedClient(t *testing.T) {
	var d ClientDecoder
	before, err := d.Decode([]byte(clientLine))
	if err != nil {
		t.Fatal(err)
	}
	r := before.Clone()
	r.Delete(june)
	if r.Hash != (apikey.Digest{}) || len(r.Previous)+len(r.Grants)+len(r.RedirectURIs)+len(r.Scopes) > 0 || r.Gen != before.Gen+1 || !r.Deleted.Equal(june) {
		t.Errorf("%+v", r)
	}
	line, err := r.Line()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := d.Decode(line); err != nil || !reflect.DeepEqual(back.Clone(), r) {
		t.Errorf("%s\nread as %+v, %v", line, back, err)
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
		wantUnknown(t, line, r.Unknown, r.Unsupported, clientKind.BitOf)
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
