package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store/audit"
	"keyward/store/jsonline"
	"keyward/store/recordline"
)

func sampleRecord() KeyRecord {
	at := time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC)
	return KeyRecord{
		ID: "k_0123456789ab", Name: "näme \"quoted\" <&> \\ 🙂", User: "alice", Project: "p1",
		Paths: []string{"/a", "/b/c"}, Scopes: &[]string{"read", "write"}, Rate: "1000/h",
		Prefix: "kw_", Hint: "kw_ABCD", Format: apikey.FormatKeyward, Hash: apikey.Digest{1, 2, 3, 0xff},
		Created: at, Expires: at.AddDate(1, 0, 0), Revoked: at.Add(time.Second), Deleted: at.Add(time.Minute),
		Previous: []PreviousSecret{{Hash: apikey.Digest{9}, Until: at}, {Hash: apikey.Digest{8}, Until: at.Add(1)}}, At: at,
		Rotated: at.Add(time.Hour), NotBefore: at.Add(time.Minute), CIDRs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Paused:      &Pause{Since: at.Add(time.Second), Act: Act{By: "ops", Via: audit.ViaAPI, Reason: "leaked?", Unknown: `"ticket":"A-1"`}},
		Description: strings.Repeat("d", MaxDescription), Owner: "billing team", CreatedBy: "alice",
		Ending: &Act{By: "cli:bob@host", Via: audit.ViaCLI, Reason: "leaked"}, Must: []string{"expires"},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	full := sampleRecord()
	none := []string{}
	for name, r := range map[string]KeyRecord{
		"all members": full,
		"few members": {ID: full.ID, Format: apikey.FormatRaw, Created: full.Created, At: full.At},
		"no scopes":   {ID: full.ID, Format: apikey.FormatHex, Created: full.Created, At: full.At, Scopes: &none},
	} {
		line, err := r.Line()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var d KeyDecoder
		got, err := d.Decode(line)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := got.Clone(); !reflect.DeepEqual(got, r) {
			t.Errorf("%s: %+v\nwant %+v", name, got, r)
		}
	}
}

// goodLine has what a line must have; each case below spoils or adds to it.
const goodLine = `{"id":"k_0123456789ab","format":"keyward","hash":"` +
	`00000000000000000000000000000000000000000000000000000000000000ff","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`

func TestLinesRefused(t *testing.T) {
	var d KeyDecoder
	if _, err := d.Decode([]byte(goodLine)); err != nil {
		t.Fatal(err)
	}
	with := func(member string) string { return goodLine[:len(goodLine)-1] + "," + member + "}" }
	swap := func(old, new string) string {
		if !strings.Contains(goodLine, old) {
			t.Fatalf("%q is not in the good line", old)
		}
		return strings.Replace(goodLine, old, new, 1)
	}
	for name, line := range map[string]string{
		"empty":                 "",
		"no object":             `[]`,
		"cut":                   goodLine[:len(goodLine)-1],
		"trailing data":         goodLine + "{}",
		"trailing comma":        goodLine[:len(goodLine)-1] + ",}",
		"unknown member twice":  with(`"nme":"x","nme":"x"`),
		"unknown syntax":        with(`"nme":x`),
		"unknown twice inside":  with(`"nme":[{"a":1,"\u0061":2}]`),
		"unknown half a pair":   with(`"nme":["\ud800"]`),
		"unknown number":        with(`"nme":01`),
		"unknown nesting":       with(`"nme":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)),
		"unknown length":        with(`"nme":"` + strings.Repeat("x", jsonline.MaxUnknown) + `"`),
		"other case in Unicode": with(`"u\u017fer":"x"`),
		"must of one name":      with(`"must":"x"`),
		"must of a number":      with(`"must":[1]`),
		"must twice":            with(`"must":["x"],"must":["x"]`),
		"must, and no syntax":   with(`"must":["x"],"x":tru`),
		"seq below zero":        with(`"seq":-1`),
		"seq with a fraction":   with(`"seq":1.0`),
		"seq above 2^53":        with(`"seq":9007199254740993`),
		"other case":            with(`"Name":"x"`),
		"twice":                 with(`"format":"keyward"`),
		"null":                  with(`"name":null`),
		"number for a text":     with(`"name":1`),
		"text for a list":       with(`"paths":"/a"`),
		"list with a number":    with(`"paths":["/a",1]`),
		"empty path list":       with(`"paths":[]`),
		"control character":     with(`"name":"a\nb"`),
		"control in C1":         with(`"name":"a\u0085b"`),
		"raw control character": with("\"name\":\"a\tb\""),
		"half a surrogate":      with(`"name":"\ud800"`),
		"unknown escape":        with(`"name":"\x41"`),
		"invalid UTF-8":         with("\"name\":\"\xff\""),
		"long name":             with(`"name":"` + strings.Repeat("x", 256) + `"`),
		"batch inside":          with(`"batch":1`),
		"negative left":         with(`"left":-1`),
		"fraction left":         with(`"left":1.5`),
		"previous without hash": with(`"previous":[{"until":"2026-01-01T00:00:00Z"}]`),
		"previous unknown":      with(`"previous":[{"x":1}]`),
		"not_before, a number":  with(`"not_before":1`),
		"paused, no object":     with(`"paused":true`),
		"paused, null":          with(`"paused":null`),
		"paused without since":  with(`"paused":{"reason":"x"}`),
		"paused twice":          with(`"paused":{"since":"2026-01-01T00:00:00Z"},"paused":{"since":"2026-01-01T00:00:00Z"}`),
		"since twice":           with(`"paused":{"since":"2026-01-01T00:00:00Z","since":"2026-01-01T00:00:00Z"}`),
		"reason, other case":    with(`"paused":{"since":"2026-01-01T00:00:00Z","Reason":"x"}`),
		"long reason":           with(`"paused":{"since":"2026-01-01T00:00:00Z","reason":"` + strings.Repeat("x", 256) + `"}`),
		"ending, a text":        with(`"ending":"x"`),
		"ending by a number":    with(`"ending":{"by":1}`),
		"no network":            with(`"cidrs":[]`),
		"one network":           with(`"cidrs":"192.0.2.0/24"`),
		"33 networks":           with(`"cidrs":["192.0.2.0/24"` + strings.Repeat(`,"192.0.2.0/24"`, 32) + `]`),
		"no network's text":     with(`"cidrs":["office"]`),
		"network, one address":  with(`"cidrs":["192.0.2.1"]`),
		"network, host bits":    with(`"cidrs":["192.0.2.1/24"]`),
		"network, other case":   with(`"cidrs":["2001:DB8::/32"]`),
		"network, mapped":       with(`"cidrs":["::ffff:192.0.2.0/120"]`),
		"network, empty":        with(`"cidrs":[""]`),
		"long description":      with(`"description":"` + strings.Repeat("x", MaxDescription+1) + `"`),
		"description, 2 lines": with(`"description":"a
b"`),
		"long owner":       with(`"owner":"` + strings.Repeat("x", 256) + `"`),
		"rotated, no time": with(`"rotated":"yesterday"`),
		"bad prefix":       with(`"prefix":"a b"`),
		"no id":            swap(`"id":"k_0123456789ab",`, ""),
		"short id":         swap("k_0123456789ab", "k_0123456789a"),
		"other id":         swap("k_0123456789ab", "u_0123456789ab"),
		"escaped id":       swap("k_0123456789ab", `k\u005f0123456789ab`),
		"escaped hash":     swap("00ff", `00f\u0066`),
		"upper-case hash":  swap("00ff", "00FF"),
		"short hash":       swap("00ff", "ff"),
		"unknown format":   swap("keyward", "md5"),
		"time with zone":   swap(`01-01T00:00:00Z","at`, `01-01T00:00:00+00:00","at`),
		"February 30":      swap(`01-01T00:00:00Z","at`, `02-30T00:00:00Z","at`),
		"second 60":        swap(`01-01T00:00:00Z","at`, `01-01T00:00:60Z","at`),
		"no at":            swap(`,"at":"2026-01-01T00:00:00Z"`, ""),
	} {
		_, err := d.Decode([]byte(line))
		var bad jsonline.Error
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v, want a jsonline.Error", name, err)
		}
	}
}

// lineAsJSON is a key's line for encoding/json.
type lineAsJSON struct {
	Left int64 `json:"left"`
	KeyRecord
}

// FuzzLine compares the decoder with encoding/json: it may refuse more, but what it
// accepts it reads the same, and a record that was read can be written again.
func FuzzLine(f *testing.F) {
	f.Add([]byte(goodLine))
	if line, err := recordline.EncodeObject(sampleRecord()); err == nil {
		f.Add(line)
		f.Add(bytes.ReplaceAll(line, []byte(`"k_`), []byte(` "k_`)))
	}
	f.Add([]byte(strings.Replace(goodLine, "{", `{"left":12,"name":"\ud83d\ude00\u00e9\t","scopes":[],`, 1)))
	f.Add([]byte(strings.Replace(goodLine, "{", "{ \"paths\" : [ \"/a\" , \"/b\" ]\r,", 1)))
	for _, line := range newerKeyLines {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d KeyDecoder
		r, err := d.Decode(line)
		if err != nil {
			return
		}
		got := r.Clone()
		wantUnknown(t, line, got.Unknown, got.Unsupported, keyMember)
		if got.Unsupported {
			wantEnd(t, line, &got)
			return
		}
		var want lineAsJSON
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if d.left != want.Left || !reflect.DeepEqual(known(got), normal(want.KeyRecord)) {
			t.Fatalf("read as %+v\nencoding/json %+v", got, want)
		}
		if !got.AccessValid() {
			return
		}
		again, err := got.Line()
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		var second KeyDecoder
		if back, err := second.Decode(again); err != nil || !reflect.DeepEqual(compacted(back.Clone()), compacted(got)) {
			t.Fatalf("written again it is read as something else (%v)", err)
		}
	})
}

// known is a record without what encoding/json does not read of it.
func known(r KeyRecord) KeyRecord {
	r.Unknown = ""
	for _, act := range acts(&r) {
		act.Unknown = ""
	}
	for i := range r.Previous {
		r.Previous[i].Unknown = ""
	}
	return r
}

// acts are the record's own of a clone.
func acts(r *KeyRecord) (all []*Act) {
	if r.Paused != nil {
		all = append(all, &r.Paused.Act)
	}
	if r.Ending != nil {
		all = append(all, r.Ending)
	}
	return all
}

// compacted is a record whose objects have their unknown members without white space
// between them.
func compacted(r KeyRecord) KeyRecord {
	compact := func(unknown *string) {
		var text bytes.Buffer
		if err := json.Compact(&text, []byte("{"+*unknown+"}")); err == nil {
			*unknown = text.String()
		}
	}
	for i := range r.Previous {
		compact(&r.Previous[i].Unknown)
	}
	for _, act := range acts(&r) {
		compact(&act.Unknown)
	}
	return r
}

// wantUnknown holds the unknown members of a line, and whether must names one, to
// what encoding/json reads.
func wantUnknown(t *testing.T, line []byte, unknown string, unsupported bool, bitOf func([]byte) uint32) {
	t.Helper()
	var all, kept map[string]json.RawMessage
	var must []string
	if err := json.Unmarshal(line, &all); err != nil {
		t.Fatalf("encoding/json refuses it: %v", err)
	}
	if err := json.Unmarshal([]byte("{"+unknown+"}"), &kept); err != nil {
		t.Fatalf("kept are %s: %v", unknown, err)
	}
	if text, has := all["must"]; has {
		if err := json.Unmarshal(text, &must); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range all {
		if bitOf([]byte(name)) != 0 && name != "must" {
			continue
		}
		if _, has := kept[name]; !has && name == "must" && !unsupported {
			continue // those of a key are its Must
		}
		if !bytes.Equal(kept[name], value) {
			t.Fatalf("of %q %s is kept, want %s", name, kept[name], value)
		}
		delete(kept, name)
	}
	if len(kept) > 0 && !unsupported {
		t.Fatalf("kept as unknown: %v", kept)
	}
	isKnown := func(name string) bool { return bitOf([]byte(name)) != 0 }
	if newer := slices.ContainsFunc(must, func(name string) bool { return !isKnown(name) }); newer && !unsupported {
		t.Fatalf("must is %q, and the line is supported", must)
	}
}

// wantEnd holds a record that is not supported to its line: when it is revoked, what
// is written is as it was, but for what says so.
func wantEnd(t *testing.T, line []byte, r *KeyRecord) {
	t.Helper()
	r.Revoked = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	r.At = r.Revoked
	again, err := r.Line()
	if err != nil {
		t.Fatalf("cannot be revoked: %v", err)
	}
	var before, after map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(line, &before), json.Unmarshal(again, &after)); err != nil {
		t.Fatal(err)
	}
	var d KeyDecoder
	if back, err := d.Decode(again); err != nil || !back.Unsupported || back.ID != r.ID || !back.Revoked.Equal(r.Revoked) {
		t.Fatalf("written again it is %+v (%v)", back, err)
	}
	for name, value := range before {
		if keyMember([]byte(name))&keyEndMembers == 0 && !bytes.Equal(after[name], value) {
			t.Fatalf("%q is %s, was %s", name, after[name], value)
		}
	}
}

// normal removes differences that mean nothing: an empty list of previous secrets.
func normal(r KeyRecord) KeyRecord {
	if len(r.Previous) == 0 {
		r.Previous = nil
	}
	times := []*time.Time{&r.Created, &r.Expires, &r.Revoked, &r.Deleted, &r.At, &r.Rotated, &r.NotBefore}
	if r.Paused != nil {
		times = append(times, &r.Paused.Since)
	}
	for _, at := range times {
		*at = at.UTC()
	}
	r.Must = slices.DeleteFunc(r.Must, func(name string) bool { return keyMember([]byte(name))&keyRestrictions != 0 })
	if len(r.Must) == 0 {
		r.Must = nil
	}
	for i := range r.Previous {
		r.Previous[i].Until = r.Previous[i].Until.UTC()
	}
	return r
}

// FuzzUserLine: no line makes the reader panic, and what it reads can be
// written and is then read the same.
func FuzzUserLine(f *testing.F) {
	f.Add([]byte(`{"name":"alice","paths":["/a"],"scopes":["read"],"disabled":true,"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"left":3,"name":"\u00e9","created":"2026-01-01T00:00:00Z","deleted":"2026-01-01T00:00:00.5Z","at":"2026-01-01T00:00:00Z"}`))
	for _, line := range newerUserLines {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d, second UserDecoder
		r, err := d.Decode(line)
		if err != nil {
			return
		}
		wantUnknown(t, line, r.Unknown, r.Unsupported, userKind.BitOf)
		if r.CheckAccess() != nil {
			return
		}
		again, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := second.Decode(again); err != nil || fmt.Sprint(*back) != fmt.Sprint(*r) {
			t.Fatalf("%+v\n%+v %v", r, back, err)
		}
	})
}

func TestRevocationLinesRefused(t *testing.T) {
	const at = `"at":"2026-01-01T00:00:00Z"`
	for name, line := range map[string]string{
		"nothing":            `{` + at + `}`,
		"no at":              `{"jti":"a"}`,
		"empty jti":          `{"jti":"",` + at + `}`,
		"empty subject":      `{"subject":"","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"no time":            `{"subject":"a",` + at + `}`,
		"jti and subject":    `{"jti":"a","subject":"a",` + at + `}`,
		"all three":          `{"jti":"a","subject":"a","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"empty sid":          `{"sid":"",` + at + `}`,
		"empty sid and time": `{"sid":"","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"jti and sid":        `{"jti":"a","sid":"a",` + at + `}`,
		"sid and subject":    `{"sid":"a","subject":"a","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"sid and time":       `{"sid":"a","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"until of a number":  `{"jti":"a","until":1767225600,` + at + `}`,
		"long reason":        `{"jti":"a","reason":"` + strings.Repeat("a", 256) + `",` + at + `}`,
		"jti and time":       `{"jti":"a","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"local time":         `{"issued_before":"2026-01-01T00:00:00+01:00",` + at + `}`,
		"a number":           `{"issued_before":1767225600,` + at + `}`,
		"null":               `{"jti":null,` + at + `}`,
		"twice":              `{"jti":"a","jti":"b",` + at + `}`,
		"other case":         `{"JTI":"a",` + at + `}`,
		"jti, must of known": `{"jti":1,"must":["jti"],` + at + `}`,
		"two objects":        `{"jti":"a",` + at + `}{}`,
		"control character":  `{"jti":"a\n",` + at + `}`,
		"too long":           `{"jti":"` + strings.Repeat("a", 256) + `",` + at + `}`,
		"no UTF-8":           `{"jti":"` + "\xff" + `",` + at + `}`,
	} {
		var d RevocationDecoder
		var bad jsonline.Error
		if _, err := d.Decode([]byte(line)); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRevocationLines are the lines as they stand in files.
func TestRevocationLines(t *testing.T) {
	for line, want := range map[string]Revocation{
		`{"jti":"t","at":"2026-05-01T12:00:00Z"}`: {TokenID: "t", At: may},
		`{"sid":"s","until":"2026-06-01T12:00:00Z","at":"2026-05-01T12:00:00Z","by":"alice","reason":"logged out","seq":3}`: {
			SessionID: "s", Until: june, At: may, By: "alice", Reason: "logged out", Seq: 3},
		`{"subject":"bob","issued_before":"2026-05-01T12:00:00Z","until":"2026-06-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`: {
			Subject: "bob", IssuedBefore: may, Until: june, At: may},
		`{"issued_before":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`: {IssuedBefore: may, At: may},
	} {
		var d RevocationDecoder
		got, err := d.Decode([]byte(line))
		if err != nil || *got != want {
			t.Errorf("%s\nread as %+v, %v", line, got, err)
		}
		if written, err := want.Line(); err != nil || string(written) != line+"\n" {
			t.Errorf("%s\nwritten as %s, %v", line, written, err)
		}
	}
}

// FuzzRevocationLine: no line makes the reader panic, and what it reads can be
// written and is then read the same.
func FuzzRevocationLine(f *testing.F) {
	f.Add([]byte(`{"jti":"\u00e9","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"subject":"alice","issued_before":"2026-01-01T00:00:00.5Z","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"issued_before":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"jti":"a","subject":"","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"sid":"a","until":"2026-01-02T00:00:00Z","at":"2026-01-01T00:00:00Z","by":"alice","reason":"left","seq":3}`))
	for _, line := range newerRevocationLines {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d, second RevocationDecoder
		r, err := d.Decode(line)
		if err != nil {
			return
		}
		wantUnknown(t, line, r.Unknown, r.Unsupported, revocationKind.BitOf)
		forms := 0
		for _, is := range []bool{r.TokenID != "", r.SessionID != "", !r.IssuedBefore.IsZero()} {
			if is {
				forms++
			}
		}
		if !r.Unsupported && (forms != 1 || r.Subject != "" && r.IssuedBefore.IsZero()) {
			t.Fatalf("read as %+v", r)
		}
		again, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := second.Decode(again); err != nil || *back != *r {
			t.Fatalf("%+v\n%+v %v", r, back, err)
		}
	})
}
