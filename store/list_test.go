package store

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestPagesEnd: reading page after page ends, with records that are equal, with any
// time that a record can have, and in a store whose order changes between pages,
// as a compaction changes it.
func TestPagesEnd(t *testing.T) {
	at := func(p *Position) Position { return *p }
	all := func(*Position) bool { return true }
	for name, records := range map[string][]Position{
		"equal":        {{time.Unix(1, 5), "a"}, {time.Unix(1, 5), "a"}, {time.Unix(2, 0), "b"}},
		"after 2262":   {{time.Date(2300, 1, 1, 0, 0, 0, 1, time.UTC), "a"}, {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), "b"}},
		"before 1970":  {{time.Date(1, 1, 1, 0, 0, 0, 7, time.UTC), "a b"}, {time.Unix(-1, 999_999_999), ""}},
		"at one time":  {{time.Unix(1, 0), "a"}, {time.Unix(1, 0), "b"}, {time.Unix(1, 0), "c"}},
		"a space name": {{time.Unix(1, 0), " a"}, {time.Unix(2, 0), "b "}},
	} {
		for _, newestFirst := range []bool{false, true} {
			page := Page{Limit: 1, NewestFirst: newestFirst}
			pages, seen := 0, map[Position]bool{}
			for {
				rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
				got, next, err := Paginate(append([]Position{}, records...), at, all, page)
				if err != nil || len(got) > 1 {
					t.Fatalf("%s: %v, %v", name, got, err)
				}
				for _, p := range got {
					seen[Position{time.Unix(p.Made.Unix(), int64(p.Made.Nanosecond())), p.ID}] = true
				}
				if pages++; pages > len(records) {
					t.Fatalf("%s, newest first %v: a page comes again", name, newestFirst)
				}
				if page.After = next; next == "" {
					break
				}
			}
			distinct := map[Position]bool{}
			for _, p := range records {
				distinct[Position{time.Unix(p.Made.Unix(), int64(p.Made.Nanosecond())), p.ID}] = true
			}
			if len(seen) != len(distinct) {
				t.Errorf("%s, newest first %v: %d of %d records", name, newestFirst, len(seen), len(distinct))
			}
		}
	}
}
