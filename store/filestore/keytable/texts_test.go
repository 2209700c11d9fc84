package keytable

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
)

// TestTexts: names and hints are found as they were set last, in more than one chunk, and
// after those that were replaced are left out.
func TestTexts(t *testing.T) {
	const keys = 3000
	rnd := rand.New(rand.NewPCG(1, 2))
	table, want := New(), map[apikey.ID]store.KeyRecord{}
	var ids []apikey.ID
	for n := range keys {
		id, ok := apikey.ParseID(fmt.Appendf(nil, "k_%012d", n))
		if !ok {
			t.Fatal("not an id")
		}
		ids = append(ids, id)
	}
	packed, last, at := 0, 0, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 30_000 {
		id := ids[rnd.IntN(keys)]
		r := want[id]
		if rnd.IntN(3) > 0 || r.ID == "" {
			r = store.KeyRecord{ID: id.String(), Created: at, At: at, Format: apikey.FormatKeyward, Hash: apikey.Digest{1}, Hint: fmt.Sprint("kw_", i%1000), Name: strings.Repeat("é", 1+rnd.IntN(100)) + fmt.Sprint(i)}
		}
		want[id] = r
		line, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		table.Add(line[:len(line)-1], journal.LineRef{})
		if table.texts.size < last {
			packed++
		}
		last = table.texts.size
	}
	if packed == 0 || len(table.texts.chunks) < 2 || table.invalid.err != nil {
		t.Errorf("packed %d times, %d chunks, %v", packed, len(table.texts.chunks), table.invalid.err)
	}
	for id, r := range want {
		row := table.Find(id)
		for text, found := range map[string]bool{r.Name: true, r.Name[2:]: true, r.Hint: true, r.ID: true, "kw_": false, r.ID[:5]: false, r.Name + "0": false} {
			if got := table.Selector(&store.KeyFilter{Text: text}).Selects(0, row); got != found {
				t.Fatalf("%s by %q: %t", r.ID, text, got)
			}
		}
	}
	if table.texts.add("", strings.Repeat("a", textChunk)) != noTexts || !table.texts.match(noTexts, []byte("anything")) {
		t.Error("texts that do not fit are kept, or their key is not found")
	}
}
