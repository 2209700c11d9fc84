package state

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
)

// TestCode: a code is valid for its purpose, until it is used, or its time is
// over, or a newer one is issued.
func TestCode(t *testing.T) { onEach(t, testCode) }

func testCode(t *testing.T, newPlace newPlace) {
	type fixture struct {
		db    *DB
		clock *clock
		code  authz.Secret
	}
	for name, c := range map[string]struct {
		before  func(t *testing.T, f *fixture) error
		purpose Purpose
		want    error
	}{
		"issued":                  {nil, PurposePassword, nil},
		"for another purpose":     {nil, PurposeSetup, ErrNotFound},
		"for no purpose":          {nil, "", ErrNotFound},
		"used":                    {func(t *testing.T, f *fixture) error { return consume(t, f.db, f.code) }, PurposePassword, ErrNotFound},
		"read before":             {func(t *testing.T, f *fixture) error { return peek(t, f.db, f.code) }, PurposePassword, nil},
		"almost expired":          {func(_ *testing.T, f *fixture) error { f.clock.advance(time.Hour - time.Millisecond); return nil }, PurposePassword, nil},
		"expired":                 {func(_ *testing.T, f *fixture) error { f.clock.advance(time.Hour); return nil }, PurposePassword, ErrNotFound},
		"a newer one":             {func(t *testing.T, f *fixture) error { return issue(t, f.db, PurposePassword, "ada") }, PurposePassword, ErrNotFound},
		"one for another user":    {func(t *testing.T, f *fixture) error { return issue(t, f.db, PurposePassword, "bob") }, PurposePassword, nil},
		"one for another purpose": {func(t *testing.T, f *fixture) error { return issue(t, f.db, PurposeSetup, "ada") }, PurposePassword, nil},
		"canceled":                {func(t *testing.T, f *fixture) error { return f.db.Codes.Cancel(t.Context(), PurposePassword, "ada") }, PurposePassword, ErrNotFound},
		"canceled for another":    {func(t *testing.T, f *fixture) error { return f.db.Codes.Cancel(t.Context(), PurposePassword, "bob") }, PurposePassword, nil},
		"canceled for setup":      {func(t *testing.T, f *fixture) error { return f.db.Codes.Cancel(t.Context(), PurposeSetup, "ada") }, PurposePassword, nil},
		"another code":            {func(_ *testing.T, f *fixture) error { f.code = authz.NewSecret(f.code.Reveal()[1:] + "A"); return nil }, PurposePassword, ErrNotFound},
		"none":                    {func(_ *testing.T, f *fixture) error { f.code = authz.Secret{}; return nil }, PurposePassword, ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			f := &fixture{db: newPlace(t).open(t, clock), clock: clock}
			var err error
			f.code, _, err = f.db.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
			want(t, "issue", err, nil)
			expires := clock.now().Add(time.Hour)
			if c.before != nil {
				want(t, "before", c.before(t, f), nil)
			}
			code, err := f.db.Codes.Peek(t.Context(), c.purpose, f.code)
			want(t, "peek", err, c.want)
			if err == nil && code != (Code{"ada", "v1", expires}) || err != nil && code != (Code{}) {
				t.Errorf("peek: %+v", code)
			}
			code, err = f.db.Codes.Consume(t.Context(), c.purpose, f.code)
			want(t, "consume", err, c.want)
			if err == nil && code != (Code{"ada", "v1", expires}) || err != nil && code != (Code{}) {
				t.Errorf("consume: %+v", code)
			}
		})
	}
}

func issue(t *testing.T, db *DB, purpose Purpose, subject string) error {
	_, _, err := db.Codes.Issue(t.Context(), 0, purpose, subject, "v1", time.Hour)
	return err
}

func peek(t *testing.T, db *DB, code authz.Secret) error {
	_, err := db.Codes.Peek(t.Context(), PurposePassword, code)
	return err
}

func consume(t *testing.T, db *DB, code authz.Secret) error {
	_, err := db.Codes.Consume(t.Context(), PurposePassword, code)
	return err
}

func TestIssueRefuses(t *testing.T) { onEach(t, testIssueRefuses) }

func testIssueRefuses(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, nil)
	for name, c := range map[string]struct {
		purpose Purpose
		ttl     time.Duration
	}{"no purpose": {"", time.Hour}, "unknown purpose": {"other", time.Hour}, "no time": {PurposeSetup, 0}, "negative time": {PurposeSetup, -1}} {
		code, _, err := db.Codes.Issue(t.Context(), 0, c.purpose, "", "v1", c.ttl)
		want(t, name, err, ErrInvalid)
		if !code.Empty() {
			t.Errorf("%s: an error and a code", name)
		}
	}
}

// TestConsumeOnce: of many calls at once, through two handles, one succeeds.
func TestConsumeOnce(t *testing.T) { onEach(t, testConsumeOnce) }

func testConsumeOnce(t *testing.T, newPlace newPlace) {
	shared := newPlace(t)
	handles := []*DB{shared.open(t, nil), shared.open(t, nil)}
	for range 10 {
		code, _, err := handles[0].Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
		want(t, "issue", err, nil)
		var all sync.WaitGroup
		var won atomic.Int32
		for i := range 8 {
			all.Go(func() {
				switch _, err := handles[i%2].Codes.Consume(t.Context(), PurposePassword, code); err {
				case nil:
					won.Add(1)
				default:
					want(t, "consume", err, ErrNotFound)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d calls consumed the code", won.Load())
		}
	}
}
