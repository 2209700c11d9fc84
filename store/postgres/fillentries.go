package postgres

// entryNames are the columns of an entry that is closed.
var entryNames = []string{"seq", "change_id", "time", "actor", "actor_key", "action", "target", "outcome", "operation", "line"}

// Entries adds the entries of an audit log: of several lines with one number, the last.
// lines is called twice.
func (f *Filling) Entries(lines Lines) (entries int, err error) {
	last := map[int64]int{}
	number := 0
	err = lines(func(line []byte) error {
		number++
		e, err := entryOf(line)
		last[e.Seq] = number
		return err
	})
	if err != nil {
		return 0, err
	}
	number = 0
	var rows [][]any
	flush := func() error {
		err := f.copy("audit", entryNames, rows)
		rows = rows[:0]
		return err
	}
	err = lines(func(line []byte) error {
		number++
		e, err := entryOf(line)
		if err != nil || last[e.Seq] != number {
			return err
		}
		entries++
		f.Reserve(e.Seq)
		rows = append(rows, []any{e.Seq, f.w.id, e.Time, e.Actor, e.ActorKey, string(e.Action), e.Record, string(e.Outcome), e.Operation, e.line})
		if len(rows) < copiedAtOnce {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return entries, f.orFailed(err)
}
