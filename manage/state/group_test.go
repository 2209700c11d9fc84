package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestTogether: changes of several callers share a transaction; one that is refused undoes
// itself alone, and one whose caller gave up is not made.
func TestTogether(t *testing.T) { onEach(t, testTogether) }

func testTogether(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, newClock())
	insert := func(user string) func(*transaction) error {
		return func(tx *transaction) error {
			_, err := tx.exec(`INSERT INTO state_consent ("user", client, scopes, given) VALUES (?1, 'c', 'null', 1)`, user)
			return err
		}
	}
	errRefused := errors.New("refused")
	db.writing <- struct{}{} // so that all wait
	var group sync.WaitGroup
	errs := make([]error, 20)
	for n := range errs {
		group.Go(func() {
			errs[n] = db.writeTogether(t.Context(), func(tx *transaction) error {
				if err := insert(fmt.Sprint("user-", n))(tx); err != nil || n%2 == 0 {
					return err
				}
				if n%4 == 1 { // which a database refuses
					return insert(fmt.Sprint("user-", n))(tx)
				}
				return errRefused
			})
		})
	}
	ctx, giveUp := context.WithCancel(t.Context())
	group.Go(func() { want(t, "given up", db.writeTogether(ctx, insert("late")), context.Canceled) })
	for len(db.waiting) < len(errs)+1 {
		time.Sleep(time.Millisecond)
	}
	giveUp()
	time.Sleep(10 * time.Millisecond)
	<-db.writing
	group.Wait()
	for n, err := range errs {
		user := fmt.Sprint("user-", n)
		_, found := db.Consents.Get(t.Context(), user, "c")
		switch {
		case n%2 == 0 && (err != nil || found != nil):
			t.Errorf("%s: %v, then %v", user, err, found)
		case n%2 == 1 && (err == nil || !errors.Is(found, ErrNotFound)):
			t.Errorf("%s: %v, then %v", user, err, found)
		case n%4 == 3:
			want(t, user, err, errRefused)
		}
	}
	if _, err := db.Consents.Get(t.Context(), "late", "c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a caller that gave up: %v", err)
	}
}
