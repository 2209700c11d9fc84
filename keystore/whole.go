package keystore

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// readAnew reads a whole file and puts it in force in place of what was.
func (r *reader) readAnew() error {
	file, err := r.fs.Open(r.cfg.Path)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	next := *r
	next.doubt = false
	next.file, next.info, next.lines = file, info, &lines{r: file}
	if err := next.readWhole(); err != nil {
		var bad lineError
		if errors.As(err, &bad) || errors.Is(err, ErrForeign) || errors.Is(err, ErrPepper) || errors.Is(err, errEmpty) {
			r.faulty, r.because = info, err // nothing is to be hoped for before it changes
		}
		return errors.Join(err, file.Close())
	}
	if r.file != nil {
		_ = r.file.Close()
	}
	*r = next
	return nil
}

// readWhole reads r.file, which is not yet in force, and puts it in force.
func (r *reader) readWhole() error {
	c := r.cfg.Into.begin()
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
	if err == nil {
		err = r.cfg.Into.check(first)
	}
	if err != nil {
		return orForeign(err)
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
	if err := r.cfg.Into.undone(c, r.now()); err != nil {
		r.log.Error("replacement file undoes what is in force", "file", r.cfg.Path, "error", err)
		r.observer.RolledBack()
	}
	r.put(c)
	return nil
}

// fill applies a whole file's lines. At start each must be good; later a bad
// one is stepped over, since it must not keep out a revocation further down, and
// there are checks under way, which go first.
func (r *reader) fill(c content) error {
	rest := stints{now: time.Now, sleep: time.Sleep}
	for bad := 0; ; {
		if r.content != nil {
			rest.line()
		}
		line, err := r.lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = c.apply(line)
		}
		var badLine lineError
		switch {
		case err == nil:
		case r.content != nil && errors.As(err, &badLine):
			bad++
			r.stepOver(bad, err)
		default:
			return fmt.Errorf("line %d: %w", r.lines.number, err)
		}
	}
}
