package usagetable

import (
	"bytes"

	"keyward/store/postgres/database"
	"keyward/usage"

	"github.com/jackc/pgx/v5"
)

// keyID is the id of a key: k_ and 12 characters. The use of another is not stored.
type keyID [16]byte

func idOf(text string) (id keyID, ok bool) {
	return id, copy(id[:], text) == len(text) && text != "" && database.Storable(text) == text
}

func isKeyID(text string) bool {
	_, ok := idOf(text)
	return ok
}

// row is what one replica has recorded of one key.
type row struct {
	id, login, replica string
	lines              usage.KeyLines
}

// readRows reads rows with the columns key_id, login, replica, totals and days.
func readRows(rows pgx.Rows) ([]row, error) {
	return pgx.CollectRows(rows, func(c pgx.CollectableRow) (r row, err error) {
		err = c.Scan(&r.id, &r.login, &r.replica, &r.lines.Totals, &r.lines.Days)
		return r, err
	})
}

// addTo adds the row to the sums. A line that is not one about the row's key, as no
// Keyward writes it, does not count.
func (r *row) addTo(sums *usage.Sums) {
	sums.AddOf(r.id, []byte(r.lines.Totals))
	sums.AddOf(r.id, []byte(r.lines.Days))
}

// addLines adds the lines of a batch.
func addLines(sums *usage.Sums, batch []byte) {
	for line := range bytes.Lines(batch) {
		sums.Add(bytes.TrimSuffix(line, []byte("\n")))
	}
}

// columns are rows as a statement takes them: as arrays of equal length.
type columns struct {
	ids, logins, replicas, totals, days []string
	last                                []int64
}

func (c *columns) add(r row) {
	c.ids, c.logins, c.replicas = append(c.ids, r.id), append(c.logins, r.login), append(c.replicas, r.replica)
	c.totals, c.days, c.last = append(c.totals, r.lines.Totals), append(c.days, r.lines.Days), append(c.last, r.lines.Last)
}
