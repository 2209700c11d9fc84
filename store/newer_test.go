package store

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const hashFF = `"hash":"00000000000000000000000000000000000000000000000000000000000000ff"`

// newerKeyLines are lines about a key that later versions may write.
var newerKeyLines = map[string]string{
	"a member":            `{"id":"k_0123456789ab","team":"ops","format":"keyward",` + hashFF + `,"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"}`,
	"members of any kind": `{"a":null,"b" : { "c" : [ 1 , -2.5e+3 , "\u00e9" ] },"id":"k_0123456789ab","format":"keyward",` + hashFF + `,"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z","d":{},"e":[[]],"f":true,"g":false,"h":0}`,
	"a sequence number":   `{"id":"k_0123456789ab","format":"keyward",` + hashFF + `,"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z","seq":9007199254740992}`,
	"must of known ones":  `{"id":"k_0123456789ab","must":["expires","seq"],"format":"keyward",` + hashFF + `,"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"}`,
	"previous secrets":    `{"id":"k_0123456789ab","format":"keyward",` + hashFF + `,"previous":[{` + hashFF + `,"why": [1]}],"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"}`,
	"a revocation":        `{"id":"k_0123456789ab","reason":"leaked","format":"keyward",` + hashFF + `,"created":"2026-01-01T00:00:00Z","revoked":"2026-01-02T00:00:00Z","at":"2026-01-02T00:00:00Z"}`,

	"must":                  `{"id":"k_0123456789ab","must":["frozen"],"frozen":true,"format":"keyward",` + hashFF + `,"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"}`,
	"must at the end":       `{"id":"k_0123456789ab","frozen":true,"format":"keyward",` + hashFF + `,"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z","must":["at","frozen"]}`,
	"must of none there":    `{"id":"k_0123456789ab","format":"keyward",` + hashFF + `,"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z","must":["frozen"]}`,
	"must and an id":        `{"must":["frozen"],"id":"k_0123456789ab"}`,
	"must, in a batch":      `{"left":3,"must":["frozen"],"id":"k_0123456789ab","seq":7}`,
	"must and another form": `{"must":["frozen"],"id":"k_0123456789ab","format":"v2","hash":{"v2":"x"},"paths":[],"scopes":7,"previous":[{"x":1}],"name":["a"],"created":5,"at":null}`,
	"must escaped":          `{"m\u0075st":["fr\u006fzen"],"id":"k_0123456789ab"}`,
}

var newerUserLines = map[string]string{
	"a member":              `{"name":"alice","title":"Dr","scopes":["read"],"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z","seq":3}`,
	"must of known ones":    `{"name":"alice","must":["scopes"],"scopes":["read"],"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"}`,
	"must":                  `{"name":"alice","must":["cidrs"],"cidrs":["192.0.2.0/24"],"scopes":["read"],"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"}`,
	"must and a name":       `{"must":["cidrs"],"name":"alice"}`,
	"must and another form": `{"must":["cidrs"],"name":"alice","paths":[],"scopes":"all","password":"$new$","created":1,"valid_since":"2026-01-01T00:00:00Z","disabled":"no"}`,
}

var newerRevocationLines = map[string]string{
	"a member":           `{"jti":"t","origin":"console","at":"2026-01-02T00:00:00Z","seq":1}`,
	"must of known ones": `{"jti":"t","must":["jti"],"at":"2026-01-02T00:00:00Z"}`,
	"in a batch":         `{"left":1,"jti":"t","at":"2026-01-02T00:00:00Z"}`,

	"must, a token":         `{"jti":"t","client":"c_1","must":["client"],"at":"2026-01-02T00:00:00Z"}`,
	"must, a subject":       `{"subject":"alice","must":["client"]}`,
	"must, and nothing":     `{"must":["client"],"client":"c_1"}`,
	"must and another form": `{"jti":["t"],"must":["client"]}`,
	"another kind":          `{"grant":"g","at":"2026-01-02T00:00:00Z"}`,
	"another subject":       `{"subject":"alice","grant":"g","at":"2026-01-02T00:00:00Z"}`,
}

// TestNewerKeyLines runs this version's reader against lines of later versions:
// what it does not know it ignores and keeps, unless it must know it.
func TestNewerKeyLines(t *testing.T) {
	for name, line := range newerKeyLines {
		var d KeyDecoder
		got, err := d.Decode([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := got.Clone()
		newer := strings.HasPrefix(name, "must") && name != "must of known ones"
		if r.Unsupported != newer || r.ID != "k_0123456789ab" || d.ID().String() != r.ID || r.Ended() != (name == "a revocation") {
			t.Errorf("%s: %+v", name, r)
		}
		wantUnknown(t, []byte(line), r.Unknown, r.Unsupported, keyMember)
		if newer {
			wantEnd(t, []byte(line), &r)
			continue
		}
		r.Revoked = r.At
		again, err := r.Line()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantUnknown(t, again, r.Unknown, false, keyMember)
		if back, err := d.Decode(again); err != nil || back.Unknown != r.Unknown || back.Seq != r.Seq {
			t.Errorf("%s: %+v (%v), was %+v", name, back, err, r)
		}
		if back, err := d.Decode(again); name == "must of known ones" && (err != nil || !slices.Equal(back.Must, []string{"expires", "seq"})) {
			t.Errorf("%s: written again as %s", name, again)
		}
		if name == "previous secrets" && !strings.Contains(string(again), `"why":[1]`) {
			t.Errorf("%s: written again as %s", name, again)
		}
	}
	var d KeyDecoder
	if r, err := d.Decode([]byte(newerKeyLines["a sequence number"])); err != nil || r.Seq != 1<<53 || r.Version() == "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestUnknownMembersAreOfTheVersion: a change of what this version does not know is
// a change.
func TestUnknownMembersAreOfTheVersion(t *testing.T) {
	a, b := sampleRecord(), sampleRecord()
	b.Unknown = `"x":1`
	if a.Version() == b.Version() {
		t.Error("of the same version")
	}
}

// TestAllThatIsKnownFitsUnderMust: a line with the longest lists is not supported,
// and is not a bad one, if it must not be interpreted.
func TestAllThatIsKnownFitsUnderMust(t *testing.T) {
	list := strings.TrimSuffix(strings.Repeat(`"/`+strings.Repeat("x", 254)+`",`, 1000), ",")
	line := goodLine[:len(goodLine)-1] + `,"paths":[` + list + `],"x":[` + list + `],"must":["x"]}`
	var d KeyDecoder
	r, err := d.Decode([]byte(line))
	if err != nil || !r.Unsupported {
		t.Fatal(err)
	}
	if _, err := r.Line(); err != nil {
		t.Error(err)
	}
}

func TestNewerUserLines(t *testing.T) {
	for name, line := range newerUserLines {
		var d UserDecoder
		got, err := d.Decode([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := got.Clone()
		if newer := strings.HasPrefix(name, "must") && name != "must of known ones"; r.Unsupported != newer || r.Name != "alice" || r.Disabled || r.Password != "" {
			t.Errorf("%s: %+v", name, r)
		}
		wantUnknown(t, []byte(line), r.Unknown, r.Unsupported, userKind.BitOf)
		r.Disabled, r.At = true, time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
		again, err := r.Line()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if back, err := d.Decode(again); err != nil || back.Unknown != r.Unknown || back.Seq != r.Seq || !back.Disabled || back.Unsupported != r.Unsupported || !back.ValidSince.Equal(r.ValidSince) {
			t.Errorf("%s: %+v (%v), was %+v", name, back, err, r)
		}
	}
	for name, line := range map[string]string{
		"no name":  `{"must":["x"],"created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"}`,
		"bad name": `{"must":["x"],"name":"a\u0000b"}`,
		"bad must": `{"must":[null],"name":"alice"}`,
	} {
		var d UserDecoder
		if _, err := d.Decode([]byte(line)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNewerRevocationLines(t *testing.T) {
	type names struct {
		unsupported  bool
		jti, subject string
	}
	for name, want := range map[string]names{
		"a member": {false, "t", ""}, "must of known ones": {false, "t", ""}, "in a batch": {false, "t", ""},
		"must, a token": {true, "t", ""}, "must, a subject": {true, "", "alice"}, "must, and nothing": {true, "", ""},
		"must and another form": {true, "", ""}, "another kind": {true, "", ""}, "another subject": {true, "", "alice"},
	} {
		line := newerRevocationLines[name]
		var d RevocationDecoder
		r, err := d.Decode([]byte(line))
		if err != nil || (names{r.Unsupported, r.TokenID, r.Subject}) != want {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		wantUnknown(t, []byte(line), r.Unknown, r.Unsupported, revocationKind.BitOf)
		before := *r
		again, err := r.Line()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if back, err := d.Decode(again); err != nil || *back != before {
			t.Errorf("%s: %+v (%v), was %+v", name, back, err, before)
		}
	}
}
