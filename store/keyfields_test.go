package store

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"keyward/store/audit"
)

// TestRestrictionsAreInMust: to a reader that does not know a member by which a key
// is restricted, the key has ended.
func TestRestrictionsAreInMust(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for name, test := range map[string]struct {
		set  func(*KeyRecord)
		want string // the end of the line
	}{
		"none":        {func(*KeyRecord) {}, `,"at":"2026-01-01T00:00:00Z"}`},
		"not before":  {func(r *KeyRecord) { r.NotBefore = at }, `,"not_before":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z","must":["not_before"]}`},
		"paused":      {func(r *KeyRecord) { r.Paused = &Pause{Since: at} }, `,"paused":{"since":"2026-01-01T00:00:00Z"},"at":"2026-01-01T00:00:00Z","must":["paused"]}`},
		"cidrs":       {func(r *KeyRecord) { r.CIDRs = networks }, `,"cidrs":["192.0.2.0/24"],"at":"2026-01-01T00:00:00Z","must":["cidrs"]}`},
		"rotated":     {func(r *KeyRecord) { r.Rotated = at }, `,"rotated":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`},
		"description": {func(r *KeyRecord) { r.Description, r.Owner, r.CreatedBy = "a", "b", "c" }, `,"description":"a","owner":"b","created_by":"c","at":"2026-01-01T00:00:00Z"}`},
		"all, and another": {func(r *KeyRecord) {
			r.NotBefore, r.CIDRs, r.Must = at, networks, []string{"expires"}
			r.Paused = &Pause{Since: at, Act: Act{By: "ops", Via: audit.ViaAPI, Reason: "leaked?"}}
		}, `,"not_before":"2026-01-01T00:00:00Z","paused":{"since":"2026-01-01T00:00:00Z","by":"ops","via":"api","reason":"leaked?"},` +
			`"cidrs":["192.0.2.0/24"],"at":"2026-01-01T00:00:00Z","must":["not_before","paused","cidrs","expires"]}`},
	} {
		var d KeyDecoder
		read, err := d.Decode([]byte(goodLine))
		if err != nil {
			t.Fatal(err)
		}
		r := read.Clone()
		test.set(&r)
		line, err := r.Line()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.TrimSuffix(string(line), "\n"); !strings.HasSuffix(got, `,"created":"2026-01-01T00:00:00Z"`+test.want) {
			t.Errorf("%s: %s\nwant …%s", name, got, test.want)
		}
		back, err := d.Decode(line)
		if err != nil || back.Version() != r.Version() || back.Unknown != "" {
			t.Errorf("%s: read again as %+v (%v)", name, back, err)
		}
	}
}

// TestResumedKeyIsNotInMust: what does not restrict a key any more is not named.
func TestResumedKeyIsNotInMust(t *testing.T) {
	line := strings.Replace(goodLine, "{", `{"must":["paused"],"paused":{"since":"2026-01-01T00:00:00Z"},`, 1)
	var d KeyDecoder
	read, err := d.Decode([]byte(line))
	if err != nil || read.Paused == nil || read.Unsupported {
		t.Fatal(read, err)
	}
	r := read.Clone()
	r.Paused = nil
	again, err := r.Line()
	if err != nil || strings.Contains(string(again), "must") {
		t.Errorf("%s (%v)", again, err)
	}
}

// TestCloneSharesNothing: the record is kept, and the line's memory is used again.
func TestCloneSharesNothing(t *testing.T) {
	r := sampleRecord()
	line, err := r.Line()
	if err != nil {
		t.Fatal(err)
	}
	var d KeyDecoder
	read, err := d.Decode(line)
	if err != nil {
		t.Fatal(err)
	}
	kept := read.Clone()
	before := kept.Version()
	other := strings.Replace(goodLine, "{", `{"must":["cidrs"],"cidrs":["198.51.100.0/24","2001:db8:1::/48"],"paused":{"since":"2027-01-01T00:00:00Z","by":"x"},`, 1)
	copy(line, strings.Repeat("x", len(line)))
	if _, err := d.Decode([]byte(other)); err != nil {
		t.Fatal(err)
	}
	if kept.Version() != before {
		t.Errorf("the clone has changed: %+v", kept)
	}
}

// TestEndingOfUnsupportedRecord: who ended a key is kept, whatever the other members
// are.
func TestEndingOfUnsupportedRecord(t *testing.T) {
	var d KeyDecoder
	read, err := d.Decode([]byte(`{"must":["frozen"],"id":"k_0123456789ab","paused":"forever","cidrs":7,"ending":[]}`))
	if err != nil || !read.Unsupported || read.Ending != nil || read.Paused != nil || read.CIDRs != nil {
		t.Fatal(read, err)
	}
	r := read.Clone()
	r.Revoked, r.Ending = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), &Act{By: "ops", Via: audit.ViaConsole}
	line, err := r.Line()
	if err != nil {
		t.Fatal(err)
	}
	back, err := d.Decode(line)
	if err != nil || !back.Unsupported || back.Ending == nil || back.Ending.By != "ops" || back.Revoked.IsZero() {
		t.Errorf("%s: %+v (%v)", line, back, err)
	}
}

// TestSecretSince: the age of a secret counts from the last rotation.
func TestSecretSince(t *testing.T) {
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := KeyRecord{Created: made}
	if got := r.SecretSince(); !got.Equal(made) {
		t.Error(got)
	}
	if r.Rotated = made.AddDate(0, 1, 0); !r.SecretSince().Equal(r.Rotated) {
		t.Error(r.SecretSince())
	}
}
