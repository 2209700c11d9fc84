package keytable

import (
	"bytes"
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
	for _, id := range ids[:keys/10] { // each text is looked for in a chunk of a megabyte
		r, row := want[id], table.Find(id)
		for text, found := range map[string]bool{r.Name: true, r.Name[2:]: true, r.Hint: true, r.ID: true, "kw_": false, r.ID[:5]: false, r.Name + "0": false} {
			if got := table.Selector(&store.KeyFilter{Text: text}, new(Search)).Selects(0, row); got != found {
				t.Fatalf("%s by %q: %t", r.ID, text, got)
			}
		}
	}
	if table.texts.add("", strings.Repeat("a", textChunk)) != noTexts || !table.texts.match(noTexts, []byte("anything"), nil) {
		t.Error("texts that do not fit are kept, or their key is not found")
	}
}

// TestSearchGoesOn: a search that goes on in a later stretch finds what was added since, and
// where texts are after they were packed.
func TestSearchGoesOn(t *testing.T) {
	table, search := New(), new(Search)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	put := func(id, name string) {
		t.Helper()
		r := store.KeyRecord{ID: id, Created: at, At: at, Format: apikey.FormatKeyward, Hash: apikey.Digest{1}, Hint: "kw_", Name: name}
		line, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		table.Add(line[:len(line)-1], journal.LineRef{})
	}
	wants := func(when string, found bool) {
		t.Helper()
		selected := false
		selector := table.Selector(&store.KeyFilter{Text: "needle"}, search)
		for n := range uint32(table.Count()) {
			selected = selected || selector.Selects(n, table.Row(n))
		}
		if selected != found {
			t.Errorf("%s: found %t", when, selected)
		}
	}
	put("k_000000000001", "hay")
	wants("at first", false)
	put("k_000000000002", "a needle in it")
	wants("added", true)
	put("k_000000000002", "hay too")
	wants("replaced", false)
	table.packTexts()
	wants("packed", false)
	put("k_000000000001", "needle")
	table.packTexts()
	wants("packed again", true)
}

// TestFind compares where a search looks for texts with where a plain search finds them.
func TestFind(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		chunk, text := make([]byte, rnd.IntN(9000)), make([]byte, 3+rnd.IntN(6))
		for _, random := range [][]byte{chunk, text} {
			for i := range random {
				random[i] = byte('a' + rnd.IntN(3))
			}
		}
		longest := len(text) + rnd.IntN(100)
		texts, search := texts{chunks: [][]byte{chunk}, longest: longest}, Search{chunks: make([]searched, 1)}
		for ref := range len(chunk) {
			behind := chunk[ref:min(len(chunk), ref+longest+len(text)-1)]
			wider := chunk[ref&^(1<<granuleBits-1) : min(len(chunk), ref+1<<granuleBits+longest+len(text))]
			got := search.near(&texts, textRef(ref), text)
			if got && !bytes.Contains(wider, text) || !got && bytes.Contains(behind, text) {
				t.Fatalf("%s at %d of %s, texts up to %d: %t", text, ref, chunk, longest, got)
			}
		}
	}
}

// BenchmarkSearch looks for a text that few of a million keys have.
func BenchmarkSearch(b *testing.B) {
	table, rnd := New(), rand.New(rand.NewPCG(5, 6))
	const keys = 1_000_000
	for n := range keys {
		id, _ := apikey.ParseID(fmt.Appendf(nil, "k_%012d", n))
		row := table.Row(table.add(id))
		*row = Row{id: id, texts: table.texts.add(fmt.Sprintf("kw_%04x…", rnd.IntN(1<<16)), fmt.Sprint("key ", n))}
		table.chunks[n/rowChunk].add(row)
	}
	table.Sort()
	for b.Loop() {
		selector, found := table.Selector(&store.KeyFilter{Text: "key 24999"}, new(Search)), 0
		for i, view := 0, table.View(selector.filter); i < view.Count(); i++ {
			n := view.InOrder(i, store.Page{})
			if selector.Selects(n, table.Row(n)) {
				found++
			}
		}
		if found != 11 {
			b.Fatal(found)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/key")
}
