package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/manage/state/successor"
)

// refreshLeeway is how long after its first use a refresh token gives its successor again: a
// client whose answer was lost asks once more, and two tabs of a browser ask at once.
const refreshLeeway = 10 * time.Second

// What a refresh token is not good for, beside ErrNotFound.
var (
	// ErrRefreshReplaced: the token was used within the leeway, and so was its successor. Nothing
	// ends.
	ErrRefreshReplaced = errors.New("the refresh token was replaced, and so was its successor")
	// ErrRefreshReused: the token was used before the leeway. A client that still presents it does
	// not have its successor, or another one has the token: the grant is to be ended.
	ErrRefreshReused = errors.New("the refresh token was used before")
)

// refresh is a row of a refresh token.
type refresh struct {
	grant     Grant
	expires   time.Time
	used      sql.NullInt64 // when first; NULL: not yet
	successor []byte        // encrypted under the token
}

const selectRefresh = `SELECT ` + grantColumns + `, r.expires, r.used, r.successor
	FROM state_refresh AS r JOIN state_grant AS g ON g.id = r.grant_id WHERE r.hash = ?1`

func scanRefresh(row *sql.Row) (r refresh, err error) {
	var expires int64
	r.grant, err = scanGrant(row, &expires, &r.used, &r.successor)
	r.expires = toTime(expires)
	return r, err
}

// Find returns the grant of a refresh token, used or not, as long as one of the grant is in
// force. It changes nothing.
func (g Grants) Find(ctx context.Context, token authz.Secret) (Grant, error) {
	r, err := g.find(ctx, token)
	return r.grant, err
}

// FindUnused is Find for a refresh token that was not used and has not expired; any other is
// ErrNotFound.
func (g Grants) FindUnused(ctx context.Context, token authz.Secret) (Grant, error) {
	r, err := g.find(ctx, token)
	if err == nil && (r.used.Valid || !g.db.now().Before(r.expires)) {
		return Grant{}, fmt.Errorf("finding a grant: %w", ErrNotFound)
	}
	return r.grant, err
}

func (g Grants) find(ctx context.Context, token authz.Secret) (refresh, error) {
	hash, ok := hashToken(token)
	if !ok {
		return refresh{}, fmt.Errorf("finding a grant: %w", ErrNotFound)
	}
	q, done := g.db.storage.reader(ctx)
	defer done()
	r, err := scanRefresh(q.row(selectRefresh, hash))
	if err == nil && !g.db.now().Before(r.grant.Expires) {
		err = ErrNotFound
	}
	if err != nil {
		return refresh{}, fmt.Errorf("finding a grant: %w", err)
	}
	return r, nil
}

// Rotate replaces a refresh token of the client by a new one, which is valid for ttl, and
// returns that with the grant. Of several calls with one token, in all processes and across a
// power cut, one makes the successor, and those within ten seconds get the same one.
//
// ErrNotFound is a token that is unknown, expired, or another client's: it changes nothing,
// nor do ErrRefreshReplaced and the error of check, which says whether the grant's user may still
// have tokens. ErrRefreshReused comes with the grant, which its caller ends.
func (g Grants) Rotate(ctx context.Context, token authz.Secret, client string, ttl time.Duration, check func(Grant) error) (Grant, authz.Secret, error) {
	hash, ok := hashToken(token)
	if !ok {
		return Grant{}, authz.Secret{}, fmt.Errorf("rotating a refresh token: %w", ErrNotFound)
	}
	var grant Grant
	var next authz.Secret
	err := g.db.writeTogether(ctx, func(tx *transaction) error {
		r, err := scanRefresh(tx.row(selectRefresh, hash))
		now := toTime(toMillis(g.db.now()))
		switch {
		case err != nil:
			return err
		case r.grant.Client != client || !now.Before(r.expires):
			return ErrNotFound
		}
		grant = r.grant
		if r.used.Valid {
			next, err = tx.again(token, &r, now)
			return err
		}
		if err := check(grant); err != nil {
			return err
		}
		if err := tx.extend(&grant, now.Add(ttl)); err != nil {
			return err
		}
		next, err = tx.replace(g.db, token, hash, grant)
		return err
	})
	if err != nil {
		return grant, authz.Secret{}, fmt.Errorf("rotating a refresh token: %w", err)
	}
	return grant, next, nil
}

// again returns the successor that a used token already has, if that may be asked for. By a
// clock that has gone back since, further than the leeway, it may not: how long ago the token
// was used is not known then.
func (tx *transaction) again(token authz.Secret, r *refresh, now time.Time) (authz.Secret, error) {
	if now.Sub(toTime(r.used.Int64)).Abs() > refreshLeeway {
		return authz.Secret{}, ErrRefreshReused
	}
	next, err := successor.Open(token, r.successor)
	if err != nil {
		return authz.Secret{}, err
	}
	hash, _ := hashToken(next)
	after, err := scanRefresh(tx.row(selectRefresh, hash))
	switch {
	case err != nil:
		return authz.Secret{}, err
	case after.used.Valid:
		return authz.Secret{}, ErrRefreshReplaced
	}
	return next, nil
}

// replace makes the successor of a token.
func (tx *transaction) replace(db *DB, token authz.Secret, hash []byte, grant Grant) (authz.Secret, error) {
	next, nextHash, err := newToken(db.rand)
	if err != nil {
		return authz.Secret{}, err
	}
	sealed, err := successor.Seal(token, next)
	if err != nil {
		return authz.Secret{}, err
	}
	if _, err := tx.exec(`UPDATE state_refresh SET used = ?2, successor = ?3 WHERE hash = ?1`, hash, toMillis(db.now()), sealed); err != nil {
		return authz.Secret{}, err
	}
	return next, tx.addRefresh(nextHash, grant)
}
