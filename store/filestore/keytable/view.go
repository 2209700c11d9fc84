package keytable

import (
	"slices"
	"sort"

	"keyward/store"
)

// View are the rows that a filter may select, by store.Position: all of the table, or those of
// one user. It is valid until the table changes.
type View struct {
	table *Table
	order []uint32
}

// fewOfUser is up to how many keys of a user are put in order for a page. The next key of a
// user who has more is soon found among all.
const fewOfUser = 16 << 10

// View returns the rows for a page of the filter. The order must be up to date.
func (t *Table) View(f *store.KeyFilter) View {
	rows := t.ofUser[t.names[f.User]] // a name that is not known is that of no row
	if f.User == "" || len(rows) > fewOfUser {
		return View{t, t.order}
	}
	rows = slices.Clone(rows)
	slices.SortFunc(rows, t.compare)
	return View{t, rows}
}

// moveTo keeps the row among those of the user.
func (t *Table) moveTo(user, n uint32, row *Row, known bool) {
	if known {
		if row.user == user {
			return
		}
		before := t.ofUser[row.user]
		t.ofUser[row.user] = slices.DeleteFunc(before, func(other uint32) bool { return other == n })
	}
	if user != 0 {
		t.ofUser[user] = append(t.ofUser[user], n)
	}
}

// Count is how many rows there are.
func (v View) Count() int { return len(v.order) }

// From returns the place at which the records behind end begin, in the direction of the page;
// nil is from the beginning.
func (v View) From(end *store.Position, page store.Page) int {
	if end == nil {
		return 0
	}
	return sort.Search(len(v.order), func(i int) bool { return page.Compare(v.table.Row(v.InOrder(i, page)).Position(), *end) > 0 })
}

// InOrder is the number of the i-th row in the direction of the page.
func (v View) InOrder(i int, page store.Page) uint32 {
	if page.NewestFirst {
		i = len(v.order) - 1 - i
	}
	return v.order[i]
}
