package reminder

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/keyindex"
	"keyward/store"
)

// remindersFixture has keys that expire so many hours after a start.
type remindersFixture struct {
	Reminders
	keys  *keyindex.Keys
	start time.Time
	lines bytes.Buffer
	count map[int]int
}

func newRemindersFixture(t *testing.T) *remindersFixture {
	f := &remindersFixture{keys: keyindex.NewKeys(), start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), count: map[int]int{}}
	f.Reminders = *New(Config{Log: slog.New(slog.NewTextHandler(&f.lines, nil)), Reminded: func(days int) { f.count[days]++ }, Stop: make(chan struct{})})
	t.Cleanup(func() {
		if strings.Contains(f.lines.String(), "kw_") {
			t.Error("a hint is in the log")
		}
	})
	return f
}

func (f *remindersFixture) load(t *testing.T, hours ...int) {
	t.Helper()
	set := f.keys.Begin()
	for i, h := range hours {
		r := store.KeyRecord{
			ID: fmt.Sprintf("k_%012d", h), Name: "ci", Hint: "kw_ab12", Format: apikey.FormatKeyward,
			Hash: apikey.Digest{byte(i), byte(i >> 8), 1}, Created: f.start, Expires: f.start.Add(time.Duration(h) * time.Hour), At: f.start,
		}
		if _, err := set.Apply(&r); err != nil {
			t.Fatal(err)
		}
	}
	f.keys.Commit(set)
}

// at makes a pass so many hours after the start, and returns what it logged: key and days.
func (f *remindersFixture) at(hours int, maxAge time.Duration) string {
	f.lines.Reset()
	f.pass(f.keys, maxAge, f.start.Add(time.Duration(hours)*time.Hour))
	var all []string
	for line := range strings.Lines(f.lines.String()) {
		var id, days string
		for word := range strings.FieldsSeq(line) {
			if text, ok := strings.CutPrefix(word, "key_id=k_"); ok {
				id = strings.TrimLeft(text, "0")
			}
			if text, ok := strings.CutPrefix(word, "days="); ok {
				days = text
			}
		}
		all = append(all, id+":"+days)
	}
	return strings.Join(all, " ")
}

// TestReminders: 30, 7 and 1 days before it expires, a key is reminded of once.
func TestReminders(t *testing.T) {
	f := newRemindersFixture(t)
	if got := f.at(0, 0); got != "" {
		t.Errorf("before keys are loaded: %s", got)
	}
	f.load(t, 24*30+1, 24*7+1, 24*40)
	for _, pass := range []struct {
		hours int
		want  string
	}{
		{0, "169:30"},                                                                             // the first pass reminds of what is due already, of each key once
		{1, "721:30 169:7"}, {2, ""}, {24, ""}, {24 * 6, ""}, {24*6 + 1, "169:1"}, {24*7 + 1, ""}, // it has expired
		{24*23 + 1, "721:7 960:30"}, // a pass that came late
		{24 * 23, ""}, {24*23 + 1, ""}, {24*29 + 1, "721:1"}, {24*30 + 2, ""},
		{24 * 33, "960:7"}, {24 * 39, "960:1"}, {24 * 50, ""},
	} {
		if got := f.at(pass.hours, 0); got != pass.want {
			t.Errorf("after %d hours: %q, want %q", pass.hours, got, pass.want)
		}
	}
	if f.count[30] != 3 || f.count[7] != 3 || f.count[1] != 3 {
		t.Errorf("%v", f.count)
	}
}

// TestReminderPasses: a pass is made once an hour, and at once over another store.
func TestReminderPasses(t *testing.T) {
	f := newRemindersFixture(t)
	f.load(t, 24*7)
	if got := f.at(0, 0); got != "168:7" {
		t.Error(got)
	}
	f.last = f.last.Add(-59 * time.Minute)
	if got := f.at(0, 0); got != "" {
		t.Errorf("within an hour: %s", got)
	}
	f.keys = keyindex.NewKeys()
	f.load(t, 24*7-1)
	if got := f.at(0, 0); got != "167:7" {
		t.Errorf("another store: %s", got)
	}
}

// TestRemindersOfAge: a key that is refused for its age expires then.
func TestRemindersOfAge(t *testing.T) {
	f := newRemindersFixture(t)
	f.load(t, 24*365)
	if got := f.at(0, 7*24*time.Hour); got != "8760:7" {
		t.Error(got)
	}
}

// TestRemindersAreBounded: not each of many keys has a line.
func TestRemindersAreBounded(t *testing.T) {
	f := newRemindersFixture(t)
	hours := make([]int, maxReminderLines+5)
	for i := range hours {
		hours[i] = i + 1
	}
	f.load(t, hours...)
	got := f.at(0, 0)
	if n := strings.Count(got, ":"); n != maxReminderLines+1 || !strings.Contains(f.lines.String(), "keys=5") {
		t.Errorf("%d lines", n)
	}
	if n := f.count[1] + f.count[7]; n != len(hours) {
		t.Errorf("%d counted", n)
	}
}
