package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store/journal"
)

func sampleRecord() Record {
	at := time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC)
	return Record{
		ID: "k_0123456789ab", Name: "näme \"quoted\" <&> \\ 🙂", User: "alice", Project: "p1",
		Paths: []string{"/a", "/b/c"}, Scopes: &[]string{"read", "write"}, Rate: "1000/h",
		Prefix: "kw_", Hint: "kw_ABCD", Format: apikey.FormatKeyward, Hash: apikey.Digest{1, 2, 3, 0xff},
		Created: at, Expires: at.AddDate(1, 0, 0), Revoked: at.Add(time.Second), Deleted: at.Add(time.Minute),
		Previous: []Previous{{Hash: apikey.Digest{9}, Until: at}, {Hash: apikey.Digest{8}, Until: at.Add(1)}}, At: at,
	}
}

func TestRecordRoundTrip(t *testing.T) {
	full := sampleRecord()
	none := []string{}
	for name, r := range map[string]Record{
		"all members": full,
		"few members": {ID: full.ID, Format: apikey.FormatRaw, Created: full.Created, At: full.At},
		"no scopes":   {ID: full.ID, Format: apikey.FormatHex, Created: full.Created, At: full.At, Scopes: &none},
	} {
		line, err := r.line()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var k keyLine
		if err := k.read(line); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := k.record(); !reflect.DeepEqual(got, r) {
			t.Errorf("%s: %+v\nwant %+v", name, got, r)
		}
	}
}

// goodLine has what a line must have; each case below spoils or adds to it.
const goodLine = `{"id":"k_0123456789ab","format":"keyward","hash":"` +
	`00000000000000000000000000000000000000000000000000000000000000ff","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`

func TestLinesRefused(t *testing.T) {
	var k keyLine
	if err := k.read([]byte(goodLine)); err != nil {
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
		"unknown member":        with(`"nme":"x"`),
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
		"bad prefix":            with(`"prefix":"a b"`),
		"no id":                 swap(`"id":"k_0123456789ab",`, ""),
		"short id":              swap("k_0123456789ab", "k_0123456789a"),
		"other id":              swap("k_0123456789ab", "u_0123456789ab"),
		"escaped id":            swap("k_0123456789ab", `k\u005f0123456789ab`),
		"escaped hash":          swap("00ff", `00f\u0066`),
		"upper-case hash":       swap("00ff", "00FF"),
		"short hash":            swap("00ff", "ff"),
		"unknown format":        swap("keyward", "md5"),
		"time with zone":        swap(`01-01T00:00:00Z","at`, `01-01T00:00:00+00:00","at`),
		"February 30":           swap(`01-01T00:00:00Z","at`, `02-30T00:00:00Z","at`),
		"second 60":             swap(`01-01T00:00:00Z","at`, `01-01T00:00:60Z","at`),
		"no at":                 swap(`,"at":"2026-01-01T00:00:00Z"`, ""),
	} {
		err := k.read([]byte(line))
		var bad journal.LineError
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v, want a journal.LineError", name, err)
		}
	}
}

// lineAsJSON is a key's line for encoding/json.
type lineAsJSON struct {
	Left int `json:"left"`
	Record
}

// FuzzLine holds our scanner to encoding/json: it may refuse more, but what it
// accepts it reads the same, and a record that was read can be written again.
func FuzzLine(f *testing.F) {
	f.Add([]byte(goodLine))
	if line, err := encodeLine(sampleRecord()); err == nil {
		f.Add(line)
		f.Add(bytes.ReplaceAll(line, []byte(`"k_`), []byte(` "k_`)))
	}
	f.Add([]byte(strings.Replace(goodLine, "{", `{"left":12,"name":"\ud83d\ude00\u00e9\t","scopes":[],`, 1)))
	f.Add([]byte(strings.Replace(goodLine, "{", "{ \"paths\" : [ \"/a\" , \"/b\" ]\r,", 1)))
	f.Fuzz(func(t *testing.T, line []byte) {
		var k keyLine
		if k.read(line) != nil {
			return
		}
		var want lineAsJSON
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		got := k.record()
		if k.left != want.Left || !reflect.DeepEqual(got, normal(want.Record)) {
			t.Fatalf("read as %+v\nencoding/json %+v", got, want)
		}
		if _, _, err := terms(got.Paths, stringsOf(k.scopes)); err != nil {
			return
		}
		again, err := got.line()
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		var k2 keyLine
		if err := k2.read(again); err != nil || !reflect.DeepEqual(k2.record(), got) {
			t.Fatalf("written again it is read as something else (%v)", err)
		}
	})
}

// normal removes differences that mean nothing: an empty list of previous secrets.
func normal(r Record) Record {
	if len(r.Previous) == 0 {
		r.Previous = nil
	}
	for _, at := range []*time.Time{&r.Created, &r.Expires, &r.Revoked, &r.Deleted, &r.At} {
		*at = at.UTC()
	}
	for i := range r.Previous {
		r.Previous[i].Until = r.Previous[i].Until.UTC()
	}
	return r
}

// FuzzKeyFile reads whole files: no input makes a reader panic, and what the
// journal and the server's reader say of a file they both accept is the same.
func FuzzKeyFile(f *testing.F) {
	head := `{"keyward":"keys","version":1,"hash":"sha256"}` + "\n"
	f.Add([]byte(head + goodLine + "\n"))
	f.Add([]byte(head + `{"batch":2}` + "\n" + goodLine + "\n"))
	f.Add([]byte(head + goodLine))
	f.Add([]byte(head))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		files := newMemFS()
		files.entries[memPath] = &memNode{data: text}
		hasher := apikey.NewHasher(authz.Secret{})
		keys := NewKeys(hasher)
		readOnce(t, journal.FollowConfig{Path: memPath, Into: keys, FS: files})
		j := NewJournal(JournalConfig{Path: memPath, Hasher: hasher, FS: files})
		all, err := j.List()
		if keys.Ready() != nil {
			return // the journal may read a file that a server has reasons to refuse
		}
		if err != nil {
			t.Fatalf("a server reads it, the journal says %v", err)
		}
		for _, want := range all {
			got, err := keys.Find(want.Hash, time.Now())
			if err != nil || got.ID != want.ID || got.Name != want.Name || got.State != Active && !want.Ended() {
				t.Fatalf("the server has %+v (%v) for %+v", got, err, want)
			}
		}
		if _, err := j.Compact(); len(text) > 0 && err != nil {
			t.Fatalf("cannot be compacted: %v", err)
		}
		after, err := j.List()
		if err != nil || len(after) != len(all) {
			t.Fatalf("%d records before compacting, %d after (%v)", len(all), len(after), err)
		}
	})
}

func TestHeaderTellsFilesApart(t *testing.T) {
	one, two := apikey.NewHasher(authz.NewSecret("pepper number one")), apikey.NewHasher(authz.NewSecret("pepper number two"))
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	if _, _, err := NewJournal(JournalConfig{Path: path, Hasher: one}).Create(Params{}); err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*apikey.Hasher{"another pepper": two, "no pepper": apikey.NewHasher(authz.Secret{})} {
		j := NewJournal(JournalConfig{Path: path, Hasher: h})
		if _, err := j.List(); !errors.Is(err, ErrPepper) {
			t.Errorf("%s: List says %v", name, err)
		}
		if _, _, err := j.Create(Params{}); !errors.Is(err, ErrPepper) {
			t.Errorf("%s: Create says %v", name, err)
		}
		keys := NewKeys(h)
		follower, err := journal.Follow(journal.FollowConfig{Path: path, Into: keys})
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Ready(); !errors.Is(err, ErrPepper) || !errors.Is(err, ErrNotLoaded) {
			t.Errorf("%s: Ready says %v", name, err)
		}
		_ = follower.Close()
	}
	for _, text := range []string{"hello", "hello\n", "{}\n", `{"keyward":"users","version":1}` + "\n", `{"keyward":"keys","version":2,"hash":"sha256"}` + "\n"} {
		other := filepath.Join(t.TempDir(), "other")
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := NewJournal(JournalConfig{Path: other, Hasher: one}).Create(Params{})
		if !errors.Is(err, journal.ErrWrongFile) || strings.Contains(fmt.Sprint(err), "hello") {
			t.Errorf("%q: %v", text, err)
		}
		if now, _ := os.ReadFile(other); string(now) != text {
			t.Errorf("%q was changed", text)
		}
	}
}
