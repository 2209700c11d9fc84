package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
)

const (
	// refreshLeeway is how long after its first use a refresh token gives its successor
	// again: a client whose answer was lost asks once more, and two tabs of a browser ask at
	// once.
	refreshLeeway = 10 * time.Second
	// maxGrantsPerUser is how many grants a user has with one client. A further one ends the
	// oldest.
	maxGrantsPerUser = 200
	grantIDPrefix    = "g_"
)

// What a refresh token is not good for, beside ErrNotFound.
var (
	// ErrRefreshReplaced: the token was used within the leeway, and so was its successor. Nothing
	// ends.
	ErrRefreshReplaced = errors.New("the refresh token was replaced, and so was its successor")
	// ErrRefreshReused: the token was used before the leeway. A client that still presents it does
	// not have its successor, or another one has the token: the grant is to be ended.
	ErrRefreshReused = errors.New("the refresh token was used before")
)

// Grant is what a user's login, or a consent, has given: a family of tokens, of which each
// refresh token replaces the one before.
type Grant struct {
	ID      string // the sid of its access tokens
	User    string
	Client  string   // oauth.LoginClient, or the id of a client
	Scopes  []string // nil: those of the user at each time
	Gen     int64    // the generation of the user's tokens then
	Address string   // of the client that got it
	Began   time.Time
	Expires time.Time // of its latest refresh token
}

// Grants are those in force, with their refresh tokens. Of a refresh token its hash is kept,
// and its successor under it: encrypted by a key that the token alone gives (RFC 9700 section
// 4.14.2 asks for rotation; the leeway is ours).
type Grants struct{ db *DB }

// Create stores a new grant and returns it with its first refresh token. It gets an ID and its
// times here.
func (g Grants) Create(ctx context.Context, entry int64, grant Grant, ttl time.Duration) (Grant, authz.Secret, error) {
	if grant.User == "" || grant.Client == "" || ttl <= 0 {
		return Grant{}, authz.Secret{}, fmt.Errorf("creating a grant: %w: no user, client or lifetime", ErrInvalid)
	}
	created, token, err := g.create(ctx, entry, grant, ttl)
	if err != nil {
		return Grant{}, authz.Secret{}, fmt.Errorf("creating a grant: %w", err)
	}
	return created, token, nil
}

func (g Grants) create(ctx context.Context, entry int64, grant Grant, ttl time.Duration) (Grant, authz.Secret, error) {
	token, hash, err := newToken(g.db.rand)
	if err != nil {
		return Grant{}, authz.Secret{}, err
	}
	id, err := randomNumber(g.db.rand)
	if err != nil {
		return Grant{}, authz.Secret{}, err
	}
	scopes, err := json.Marshal(grant.Scopes)
	if err != nil {
		return Grant{}, authz.Secret{}, err
	}
	now := toMillis(g.db.now())
	grant.ID, grant.Began, grant.Expires = fmt.Sprintf("%s%016x", grantIDPrefix, id), toTime(now), toTime(now+ttl.Milliseconds())
	err = g.db.write(ctx, powerCut, func(tx *transaction) error {
		if err := tx.endGrants(`"user" = ?1 AND client = ?2 AND id NOT IN
			(SELECT id FROM state_grant WHERE "user" = ?1 AND client = ?2 ORDER BY began DESC, id LIMIT ?3)`, grant.User, grant.Client, maxGrantsPerUser-1); err != nil {
			return err
		}
		if _, err := tx.exec(`INSERT INTO state_grant (id, "user", client, scopes, gen, address, began, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`,
			grant.ID, grant.User, grant.Client, string(scopes), grant.Gen, grant.Address, now, toMillis(grant.Expires)); err != nil {
			return err
		}
		if err := tx.addRefresh(hash, grant); err != nil {
			return err
		}
		return keepEntry(tx, entry)
	})
	return grant, token, err
}

// addRefresh stores a refresh token of the grant, which ends with it.
func (tx *transaction) addRefresh(hash []byte, grant Grant) error {
	_, err := tx.exec(`INSERT INTO state_refresh (hash, grant_id, expires) VALUES (?1, ?2, ?3)`, hash, grant.ID, toMillis(grant.Expires))
	return err
}

// endGrants removes grants with all their refresh tokens.
func (tx *transaction) endGrants(where string, args ...any) error {
	_, err := tx.exec(`DELETE FROM state_refresh WHERE grant_id IN (SELECT id FROM state_grant WHERE `+where+`)`, args...)
	if err == nil {
		_, err = tx.exec(`DELETE FROM state_grant WHERE `+where, args...)
	}
	return err
}

// refresh is a row of a refresh token.
type refresh struct {
	grant     Grant
	expires   time.Time
	used      sql.NullInt64 // when first; NULL: not yet
	successor []byte        // encrypted under the token
}

const selectRefresh = `SELECT g.id, g."user", g.client, g.scopes, g.gen, g.address, g.began, g.expires, r.expires, r.used, r.successor
	FROM state_refresh AS r JOIN state_grant AS g ON g.id = r.grant_id WHERE r.hash = ?1`

func scanRefresh(row *sql.Row) (r refresh, err error) {
	var scopes []byte
	var began, ends, expires int64
	g := &r.grant
	err = row.Scan(&g.ID, &g.User, &g.Client, &scopes, &g.Gen, &g.Address, &began, &ends, &expires, &r.used, &r.successor)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return refresh{}, ErrNotFound
	case err != nil:
		return refresh{}, err
	}
	g.Began, g.Expires, r.expires = toTime(began), toTime(ends), toTime(expires)
	return r, json.Unmarshal(scopes, &g.Scopes)
}

// Find returns the grant of a refresh token, used or not, as long as one of the grant is in
// force. It changes nothing.
func (g Grants) Find(ctx context.Context, token authz.Secret) (Grant, error) {
	hash, ok := hashToken(token)
	if !ok {
		return Grant{}, fmt.Errorf("finding a grant: %w", ErrNotFound)
	}
	q, done := g.db.storage.reader(ctx)
	defer done()
	r, err := scanRefresh(q.row(selectRefresh, hash))
	if err == nil && !g.db.now().Before(r.grant.Expires) {
		err = ErrNotFound
	}
	if err != nil {
		return Grant{}, fmt.Errorf("finding a grant: %w", err)
	}
	return r.grant, nil
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
	err := g.db.write(ctx, powerCut, func(tx *transaction) error {
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
		grant.Expires = now.Add(ttl)
		next, err = tx.replace(g.db, token, hash, grant)
		return err
	})
	if err != nil {
		return grant, authz.Secret{}, fmt.Errorf("rotating a refresh token: %w", err)
	}
	return grant, next, nil
}

// again returns the successor that a used token already has, if that may be asked for.
func (tx *transaction) again(token authz.Secret, r *refresh, now time.Time) (authz.Secret, error) {
	if now.Sub(toTime(r.used.Int64)) > refreshLeeway {
		return authz.Secret{}, ErrRefreshReused
	}
	next, err := openSuccessor(token, r.successor)
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
	sealed, err := sealSuccessor(token, next)
	if err != nil {
		return authz.Secret{}, err
	}
	if _, err := tx.exec(`UPDATE state_refresh SET used = ?2, successor = ?3 WHERE hash = ?1`, hash, toMillis(db.now()), sealed); err != nil {
		return authz.Secret{}, err
	}
	if _, err := tx.exec(`UPDATE state_grant SET expires = ?2 WHERE id = ?1`, grant.ID, toMillis(grant.Expires)); err != nil {
		return authz.Secret{}, err
	}
	return next, tx.addRefresh(nextHash, grant)
}

// End ends a grant with its refresh tokens. One that has ended is not an error.
func (g Grants) End(ctx context.Context, entry int64, id string) error {
	err := g.db.write(ctx, powerCut, func(tx *transaction) error {
		if err := tx.endGrants(`id = ?1`, id); err != nil {
			return err
		}
		return keepEntry(tx, entry)
	})
	if err != nil {
		return fmt.Errorf("ending grant %q: %w", id, err)
	}
	return nil
}
