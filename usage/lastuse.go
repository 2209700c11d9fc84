package usage

import "time"

// LastUse returns a function that returns when a key was last used, as far as is known
// now: zero for a key that was never used. The first call reads the store into an index;
// a later one reads what was added.
func (t *Tracker) LastUse() (func(id string) time.Time, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	stored := func(string) int64 { return 0 }
	if t.store != nil {
		var err error
		if stored, err = t.store.LastUse(); err != nil {
			return nil, err
		}
	}
	pending := map[string]int64{}
	err := eachPendingLine(t.pending, func(line []byte) error { return keepLast(pending, line) })
	if err != nil {
		return nil, err
	}
	return func(id string) time.Time {
		last := max(t.memory.lastUse(id), pending[id], stored(id))
		if last == 0 {
			return time.Time{}
		}
		return time.UnixMicro(last).UTC()
	}, nil
}

// keepLast keeps when the key of the line was last used, if the line says that.
func keepLast(latest map[string]int64, line []byte) error {
	c := cursor{text: line}
	id := c.readID()
	if _, at := c.readTimes(); !c.bad {
		latest[id] = max(latest[id], at)
	}
	return nil
}

// LastUses returns when each key in the file was last used, and when the
// recording began: the file has no uses from before that.
func LastUses(path string) (last map[string]time.Time, since time.Time, err error) {
	latest := map[string]int64{}
	since, err = readFile(path, func(line []byte) error { return keepLast(latest, line) })
	if err != nil {
		return nil, since, err
	}
	last = make(map[string]time.Time, len(latest))
	for id, at := range latest {
		last[id] = time.UnixMicro(at).UTC()
	}
	return last, since, nil
}
