package postgres

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// addEntries writes numbered entries. open is that it is not known yet whether their
// changes are made. An entry that cannot be a line is ErrAudit.
func (w *writer) addEntries(entries []*audit.Entry, open bool) error {
	if err := w.refuseRepeated(entries); err != nil {
		return err
	}
	for len(entries) > 0 {
		n := min(writtenAtOnce, len(entries))
		if err := w.addSome(entries[:n], open); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// refuseRepeated returns ErrDuplicate if an operation of the entries has changed something
// already: an attempt to carry it out that was taken for dead, and is not, must not do
// so as well.
func (w *writer) refuseRepeated(entries []*audit.Entry) error {
	operations := map[string]bool{}
	for _, e := range entries {
		if e.Operation != "" && e.Outcome == audit.Done && e.Action.Changes() {
			operations[database.Storable(e.Operation)] = true
		}
	}
	if len(operations) == 0 {
		return nil
	}
	var repeated bool
	err := w.tx.QueryRow(w.ctx, `SELECT EXISTS (SELECT FROM audit WHERE operation = ANY($1::text[]) AND outcome = $2::text AND change_id <> $3::uuid)`,
		slices.Collect(maps.Keys(operations)), string(audit.Done), w.id).Scan(&repeated)
	if err == nil && repeated {
		return fmt.Errorf("%w: the request was carried out by another attempt", store.ErrDuplicate)
	}
	return w.fail(err)
}

const insertEntries = `INSERT INTO audit (seq, change_id, time, actor, actor_key, action, target, outcome, operation, line, open_since)
	SELECT seq, $2::uuid, time, actor, actor_key, action, target, outcome, operation, line, CASE WHEN $3::boolean THEN clock_timestamp() END
	FROM unnest($1::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
	AS t (seq, time, actor, actor_key, action, target, outcome, operation, line)`

func (w *writer) addSome(entries []*audit.Entry, open bool) error {
	var seqs []int64
	var times []time.Time
	var actors, keys, actions, targets, outcomes, operations, lines []string
	for _, e := range entries {
		line, err := e.Line()
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrAudit, err)
		}
		row, err := entryOf(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrAudit, err)
		}
		seqs, times = append(seqs, row.Seq), append(times, row.Time)
		actors, keys = append(actors, row.Actor), append(keys, row.ActorKey)
		actions, targets = append(actions, string(row.Action)), append(targets, row.Record)
		outcomes, operations = append(outcomes, string(row.Outcome)), append(operations, row.Operation)
		lines = append(lines, row.line)
	}
	batch := &pgx.Batch{}
	batch.Queue(insertEntries, seqs, w.id, open, times, actors, keys, actions, targets, outcomes, operations, lines)
	return w.send(batch)
}

// entryColumns is an entry with its texts as columns have them, which filters are
// compared with, and its line.
type entryColumns struct {
	audit.Entry
	line string
}

// entryOf returns the columns of the entry with that line.
func entryOf(line []byte) (entryColumns, error) {
	e, err := audit.Decode(line)
	e.Time = e.Time.Truncate(time.Microsecond)
	for _, text := range []*string{&e.Actor, &e.ActorKey, &e.Record, &e.Operation} {
		*text = database.Storable(*text)
	}
	return entryColumns{e, string(line)}, err
}

// closeEntry says of an entry whose change was open what became of it.
func (w *writer) closeEntry(e *audit.Entry, made bool) error {
	closed := *e
	if !made {
		closed.Outcome = audit.NotDone
	}
	line, err := closed.Line()
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrAudit, err)
	}
	return w.closeSeq(closed.Seq, closed.Outcome, line)
}

// closeSeq closes the entry of that number. A nil line leaves the one that it has.
func (w *writer) closeSeq(seq int64, outcome audit.Outcome, line []byte) error {
	var text *string
	if line != nil {
		text = new(withoutNewline(line))
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE audit SET outcome = $2::text, line = coalesce($3::text, line), open_since = NULL WHERE seq = $1::bigint`, seq, string(outcome), text)
	return w.send(batch)
}
