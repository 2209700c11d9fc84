package usage

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"keyward/authz"
)

// heldStore is a Store that keeps the batches in memory, and may fail.
type heldStore struct {
	batches [][]byte
	fail    error
	refused [][]byte // batches whose write failed
}

func (s *heldStore) Flush(from Source) error {
	return from.Drain(func(batch []byte) error {
		if s.fail != nil {
			s.refused = append(s.refused, bytes.Clone(batch))
			return s.fail
		}
		s.batches = append(s.batches, bytes.Clone(batch))
		return nil
	})
}

func (s *heldStore) Lines(_ string, visit func(line []byte) error) error {
	for _, batch := range s.batches {
		if err := eachPendingLine(batch, visit); err != nil {
			return err
		}
	}
	return s.fail
}

func (s *heldStore) LastUse() (func(id string) int64, error) {
	return func(id string) int64 { return int64(len(id)) }, s.fail
}

// TestStoreInsteadOfFile: a Tracker flushes to its Store, and adds what it holds to what
// the Store has.
func TestStoreInsteadOfFile(t *testing.T) {
	held := &heldStore{}
	tracker := quiet("", func(c *Config) { c.Store = held })
	use(tracker, "k_a", "/", authz.OK)
	flush(t, tracker)
	use(tracker, "k_a", "/", authz.OK)
	if u := get(t, tracker, "k_a"); u.Total != 2 || len(held.batches) != 1 {
		t.Errorf("%d uses, %d batches", u.Total, len(held.batches))
	}
	if got := lastUse(t, tracker, "k_b"); got.UnixMicro() != 3 {
		t.Errorf("by the store, the last use was %v", got)
	}
	held.fail = errors.New("down")
	if _, err := tracker.Get("k_a"); !errors.Is(err, held.fail) {
		t.Errorf("get: %v", err)
	}
	if _, err := tracker.LastUse(); !errors.Is(err, held.fail) {
		t.Errorf("last use: %v", err)
	}
}

// TestFailedBatchIsRepeated: a batch that may have arrived is passed again as it was,
// however much was used meanwhile, so that the Store can recognize it.
func TestFailedBatchIsRepeated(t *testing.T) {
	held := &heldStore{fail: errors.New("down")}
	tracker := quiet("", func(c *Config) { c.Store = held })
	for range 3 {
		for i := range 1000 {
			use(tracker, fmt.Sprint("k_", i), "/a/longer/path/so/that/there/are/several/batches", authz.OK)
		}
		if err := tracker.flush(); !errors.Is(err, held.fail) {
			t.Fatal(err)
		}
	}
	held.fail = nil
	flush(t, tracker)
	for i, batch := range append(held.refused, held.batches[0]) {
		if !bytes.Equal(batch, held.refused[0]) {
			t.Errorf("attempt %d is another batch, of %d bytes, not %d", i, len(batch), len(held.refused[0]))
		}
	}
	for _, id := range []string{"k_0", "k_500", "k_999"} {
		if u := get(t, tracker, id); u.Total != 3 {
			t.Errorf("%s: %d uses", id, u.Total)
		}
	}
}

// TestSumsCanBeRead: what Sums make of lines is read again as the same, also of lines
// that no Keyward wrote.
func TestSumsCanBeRead(t *testing.T) {
	results := func(from, to int) string {
		var text []string
		for i := from; i < to; i++ {
			text = append(text, fmt.Sprintf(`"result%d":1`, i))
		}
		return strings.Join(text, ",")
	}
	const begin = `{"id":"k_a","first":1,"last":2,"address":"","results":{`
	long := `[1,"GET","/` + strings.Repeat("<", 3000) + "\u00e9" + `",200,"ok"]`
	for what, c := range map[string]struct {
		lines    []string
		readable bool
	}{
		"of one form each":        {[]string{goodLine, goodDays}, true},
		"many results":            {[]string{begin + results(0, 200) + `},"outcomes":[]}`, begin + results(150, 350) + `},"outcomes":[]}`}, true},
		"long when it is written": {[]string{begin + `"ok":1},"outcomes":[` + strings.TrimSuffix(strings.Repeat(long+",", 20), ",") + `]}`}, false},
		"long already":            {[]string{begin + `"ok":1},"outcomes":[[1,"GET","/` + strings.Repeat("x", maxLine) + `",200,"ok"]]}`}, false},
	} {
		var sums, again Sums
		for _, line := range c.lines {
			if len(line) < maxLine != sums.AddOf("k_a", []byte(line)) {
				t.Errorf("%s: read, with %d bytes", what, len(line))
			}
		}
		readable := false
		for id, lines := range sums.All() {
			readable = lines.Totals != ""
			for _, line := range []string{lines.Totals, lines.Days} {
				if line != "" && !again.AddOf(id, []byte(line)) {
					t.Errorf("%s: cannot be read again", what)
				}
			}
		}
		if readable != c.readable {
			t.Errorf("%s: readable %v", what, readable)
		}
		for id, lines := range again.All() {
			for _, first := range sums.All() {
				if lines != first {
					t.Errorf("%s: %s became %+v", what, id, lines)
				}
			}
		}
	}
}

// TestSumsOfKeys: lines of several keys stay apart, and a line that must be about one
// key is not taken for another's.
func TestSumsOfKeys(t *testing.T) {
	other := strings.NewReplacer("k_a", "k_b", `\u00e9`, "\u00e9").Replace(goodLine)
	var sums Sums
	for _, line := range []string{other, goodLine, goodDays, goodLine} {
		if !sums.Add([]byte(line)) {
			t.Fatal(line)
		}
	}
	if sums.Add([]byte("hello")) || sums.AddOf("k_a", []byte(other)) || sums.AddOf("", []byte(`{}`)) {
		t.Error("a bad line, or another key's, was added")
	}
	got := map[string]KeyLines{}
	for id, lines := range sums.All() {
		got[id] = lines
	}
	if b := (KeyLines{Totals: other, Last: 2}); len(got) != 2 || got["k_b"] != b || got["k_a"].Days != goodDays || !strings.Contains(got["k_a"].Totals, `"ok":24`) {
		t.Errorf("%+v", got)
	}
}
