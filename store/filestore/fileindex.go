package filestore

import (
	"context"
	"sync"

	"keyward/store/journal"
)

// fileIndex is what a file says, kept in memory. Each use brings it up to date
// first, so that it never says less than the file; nothing follows the file in
// between.
type fileIndex[I journal.Index] struct {
	mu       sync.Mutex
	progress journal.Progress
	index    I
}

func newFileIndex[I journal.Index](lines *journal.Lines, empty I) *fileIndex[I] {
	return &fileIndex[I]{progress: journal.Progress{Lines: lines}, index: empty}
}

// eachLine reads a file's lines.
type eachLine func(visit func(line []byte, number int) error) error

// reading is how a call reads a file: under the lock of a transaction, or without.
type reading struct {
	ctx context.Context          // of a reading without the lock
	of  *journal.Lines           // that it reads
	in  *journal.LineTransaction // nil: without the lock
}

func unlocked(ctx context.Context, lines *journal.Lines) reading { return reading{ctx: ctx, of: lines} }

func locked(t *journal.LineTransaction) reading { return reading{in: t} }

// each calls visit for each line, with its number.
func (r reading) each(visit func(line []byte, number int) error) error {
	if r.in != nil {
		return r.in.Read(visit)
	}
	return r.of.Read(r.ctx, visit)
}

// advance reads a stretch of what is new.
func (r reading) advance(p *journal.Progress, into journal.Index) (done bool, err error) {
	if r.in != nil {
		return p.AdvanceLocked(r.in, into)
	}
	return p.Advance(r.ctx, into)
}

// use calls do with the index up to date. No other call uses it meanwhile. While
// much is new, other calls take turns in reading it, so that ctx ends this one.
func (x *fileIndex[I]) use(r reading, do func(I, *journal.Progress) error) error {
	for {
		if done, err := x.try(r, do); done || err != nil {
			return err
		}
	}
}

func (x *fileIndex[I]) try(r reading, do func(I, *journal.Progress) error) (done bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	done, err = r.advance(&x.progress, x.index)
	if done && err == nil {
		err = do(x.index, &x.progress)
	}
	return done, err
}

// release frees the memory and the file. A later use reads the file again.
func (x *fileIndex[I]) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.progress.Forget()
	x.index.Reset()
}
