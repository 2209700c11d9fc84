package state

import (
	"context"
	"errors"
	"sync/atomic"
)

// together is a change that shares its transaction with those of other callers: most of the
// time that a change takes is that of the sync at its commit, and logins and refreshes come
// by the hundred. One of the callers makes the changes of all that wait by then.
type together struct {
	change func(*transaction) error
	taken  atomic.Bool // by the caller that makes it, or back by its own
	done   chan error
}

// maxTogether is how many changes a transaction has at most.
const maxTogether = 128

// writeTogether is write, for a change that others may share the transaction with. Its own
// error undoes it alone.
func (db *DB) writeTogether(ctx context.Context, change func(*transaction) error) error {
	own := &together{change: change, done: make(chan error, 1)}
	ctx, cancel := context.WithTimeoutCause(ctx, changeTimeout, errBusy)
	defer cancel()
	select {
	case db.waiting <- own:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-own.done:
		return err
	case <-ctx.Done():
		if own.taken.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
	case db.writing <- struct{}{}:
		db.makeTogether()
	}
	return <-own.done
}

// makeTogether makes the changes that wait, each in a savepoint, and lets others write.
func (db *DB) makeTogether() {
	defer func() { <-db.writing }()
	var group []*together
	for len(db.waiting) > 0 && len(group) < maxTogether {
		if next := <-db.waiting; next.taken.CompareAndSwap(false, true) {
			group = append(group, next)
		}
	}
	if len(group) == 0 {
		return
	}
	errs, err := make([]error, len(group)), errPanicked
	defer func() {
		for i, each := range group {
			if err != nil {
				errs[i] = err
			}
			each.done <- errs[i]
		}
	}()
	err = db.commitAll(group, errs)
}

// errPanicked is that of the changes that share a transaction with one that panicked.
var errPanicked = errors.New("another change of the transaction failed")

// commitAll makes the changes, and puts the error of each into errs.
func (db *DB) commitAll(group []*together, errs []error) error {
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	tx, err := db.storage.begin(ctx, powerCut)
	if err != nil {
		return err
	}
	for i, each := range group {
		if errs[i], err = each.in(tx); err != nil {
			tx.rollback()
			return err
		}
	}
	return tx.commit()
}

// in makes the change in a transaction of several. err is one of the transaction.
func (t *together) in(tx *transaction) (refused, err error) {
	if _, err := tx.exec(`SAVEPOINT change`); err != nil {
		return nil, err
	}
	if refused = t.change(tx); refused != nil {
		_, err = tx.exec(`ROLLBACK TO SAVEPOINT change`)
	}
	if err == nil {
		_, err = tx.exec(`RELEASE SAVEPOINT change`)
	}
	return refused, err
}
