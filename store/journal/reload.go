package journal

import (
	"errors"
	"fmt"
	"io"

	"keyward/store/jsonline"
	"keyward/store/pacer"
)

// reload reads the entire file and puts it in force in place of what was.
func (r *reader) reload() error {
	file, err := r.fs.Open(r.cfg.Path)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	next := *r
	next.rewrittenInPlace = false
	next.file, next.info, next.lines = file, info, &lineReader{r: file}
	if err := next.readAll(); err != nil {
		var bad jsonline.Error
		if errors.As(err, &bad) || errors.Is(err, ErrWrongFile) || errors.As(err, new(headerError)) || errors.Is(err, errEmpty) {
			r.badFile, r.badErr = info, err // not to be read again before it changes
		}
		return errors.Join(err, file.Close())
	}
	if r.file != nil {
		_ = r.file.Close()
	}
	*r = next
	return nil
}

// readAll reads r.file, which is not yet in force, and puts it in force.
func (r *reader) readAll() error {
	c := r.into.Begin()
	if r.info.Size() == 0 {
		if r.content != nil && r.tail.length > 0 {
			return errEmpty
		}
		if err := refuseDamaged(r.fs, r.cfg.Path); err != nil {
			return err
		}
		r.put(c)
		return nil
	}
	first, err := r.lines.next()
	if err != nil {
		return orWrongFile(err)
	}
	if err := r.into.CheckHeader(first); err != nil {
		return headerError{err}
	}
	if err := r.fill(c); err != nil {
		return err
	}
	if r.lines.torn {
		r.log.Warn("torn last line or batch ignored", "file", r.cfg.Path, "line", r.lines.number+1)
	}
	if r.tail, err = r.before(); err != nil {
		return err
	}
	if err := r.into.Undone(c, r.now()); err != nil {
		r.log.Error("replacement file undoes what is in force", "file", r.cfg.Path, "error", err)
		r.observer.RolledBack()
	}
	r.put(c)
	return nil
}

// fill applies the lines of an entire file. At start each must be good; later a bad
// one is stepped over, since it must not keep out a revocation further down, and
// checks that are under way go first.
func (r *reader) fill(c Generation) error {
	pace := pacer.New()
	for bad := 0; ; {
		if r.content != nil {
			pace.Step()
		}
		line, err := r.lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = c.Apply(line)
		}
		var badLine jsonline.Error
		switch {
		case err == nil:
		case r.content != nil && errors.As(err, &badLine):
			bad++
			r.skipBadLine(bad, err)
		default:
			return fmt.Errorf("line %d: %w", r.lines.number, err)
		}
	}
}

// headerError is why a Sink refuses the header of a file.
type headerError struct{ error }

// Unwrap returns the cause.
func (e headerError) Unwrap() error { return e.error }
