package postgres

import (
	"fmt"
	"strconv"
	"time"

	"keyward/store/audit"
)

// entryRowColumns are the columns of an entryRow. Whatever a login that was taken over
// wrote, a row is bounded, and can be read: a line that is longer than any entry is not
// read, and a time that is not one of the years 1 to 9999 is none.
var entryRowColumns = `seq, CASE WHEN octet_length(line) <= ` + strconv.Itoa(audit.MaxLine) + ` THEN line ELSE '' END,
	CASE WHEN time >= timestamptz '0001-01-01 00:00:00+00' AND time < timestamptz '9999-12-31 00:00:00+00' THEN time END,
	left(actor, 255), left(actor_key, 255), left(action, 64), left(target, 255), left(outcome, 64), left(operation, 255)`

// entryRow is a row of the audit log: the line, and what the columns say.
type entryRow struct {
	seq                                                 int64
	line                                                string
	time                                                *time.Time
	actor, actorKey, action, target, outcome, operation string
}

// destinations are where the columns are scanned into.
func (r *entryRow) destinations() []any {
	return []any{&r.seq, &r.line, &r.time, &r.actor, &r.actorKey, &r.action, &r.target, &r.outcome, &r.operation}
}

// decode returns the entry of the line. A line with the number of another entry is not
// that of the row.
func (r *entryRow) decode() (audit.Entry, error) {
	e, err := audit.Decode([]byte(r.line))
	if err == nil && e.Seq != r.seq {
		err = fmt.Errorf("%w: the line has the number %d", audit.ErrInvalid, e.Seq)
	}
	return e, err
}

// unreadable is the reason of an entry whose line cannot be read.
const unreadable = "the line of this entry cannot be read; the rest is what its columns say"

// entry returns the entry of the row. One whose line cannot be read is listed by its
// columns: it neither hides the others nor is hidden.
func (r *entryRow) entry() audit.Entry {
	e, err := r.decode()
	if err != nil {
		e = audit.Entry{Seq: r.seq, Actor: r.actor, ActorKey: r.actorKey, Action: audit.Action(r.action), Record: r.target, Operation: r.operation, Reason: unreadable}
		if r.time != nil {
			e.Time = r.time.UTC()
		}
	}
	e.Outcome = audit.Outcome(r.outcome) // that of the line, unless the line could not be written again
	return e
}
