package usage

import (
	"errors"
	"io/fs"
	"time"
)

// LastUse returns a function that returns when a key was last used, as far as is known
// now: zero for a key that was never used. The first call reads the file into an index,
// which Get uses too from then on; a later one reads what was appended.
func (t *Tracker) LastUse() (func(id string) time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.index == nil && t.cfg.File != "" {
		t.index = newFileIndex(t.cfg.File)
	}
	if t.index != nil {
		if err := t.index.update(); err != nil {
			return nil, err
		}
	}
	pending := map[string]int64{}
	err := eachPendingLine(t.pending, func(line []byte) error { return keepLast(pending, line) })
	if err != nil {
		return nil, err
	}
	return func(id string) time.Time {
		last := max(t.memory.lastUse(id), pending[id])
		if t.index != nil {
			last = max(last, t.index.lastUse(id))
		}
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

// eachFileLine calls visit for each line of the file about the key, and maybe for others.
func (t *Tracker) eachFileLine(id string, visit func(line []byte) error) error {
	if t.cfg.File == "" {
		return nil
	}
	if t.index != nil {
		return t.index.read(id, visit)
	}
	_, err := readFile(t.cfg.File, visit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
