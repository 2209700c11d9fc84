package store

import (
	"testing"
	"time"
)

// TestPagesEnd: reading page after page ends, with records that are equal and with
// any time that a record can have.
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
			pages := 0
			for {
				got, next, err := Paginate(append([]Position{}, records...), at, all, page)
				if err != nil || len(got) > 1 {
					t.Fatalf("%s: %v, %v", name, got, err)
				}
				if pages++; pages > len(records) {
					t.Fatalf("%s, newest first %v: a page comes again", name, newestFirst)
				}
				if page.After = next; next == "" {
					break
				}
			}
			if name != "equal" && pages != len(records) {
				t.Errorf("%s, newest first %v: %d pages for %d records", name, newestFirst, pages, len(records))
			}
		}
	}
}
