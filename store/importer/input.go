package importer

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"keyward/store"
)

// maxReported bounds how many problems are reported; all are counted.
const maxReported = 10

// refusals collects what is wrong with an input, so that all of it can be
// corrected at once.
type refusals struct {
	errs []error
	more int // beyond maxReported
}

// add notes the error of a line, if it is not nil.
func (r *refusals) add(line int, err error) {
	switch {
	case err == nil:
	case len(r.errs) < maxReported:
		r.errs = append(r.errs, fmt.Errorf("input line %d: %w", line, err))
	default:
		r.more++
	}
}

// orElse returns all if there was no error.
func (r *refusals) orElse(all []store.ImportedKey) ([]store.ImportedKey, error) {
	if err := r.err(); err != nil {
		return nil, err
	}
	return all, nil
}

func (r *refusals) err() error {
	if r.more > 0 {
		return errors.Join(append(r.errs, fmt.Errorf("and %d more lines", r.more))...)
	}
	return errors.Join(r.errs...)
}

// withoutMark reads in without the byte order mark that some programs put in
// front of UTF-8, which would otherwise be part of the first line.
func withoutMark(in io.Reader) io.Reader {
	buffered := bufio.NewReader(in)
	if first, _ := buffered.Peek(len(byteOrderMark)); string(first) == byteOrderMark {
		_, _ = buffered.Discard(len(byteOrderMark))
	}
	return buffered
}

const byteOrderMark = "\ufeff"
