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
	// maxGrantsPerUser is how many grants a user has with one client. A further one ends the
	// first to expire.
	maxGrantsPerUser = 200
	grantIDPrefix    = "g_"
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
	Expires time.Time // of the latest of its tokens

	// ClientGen is the generation of the client's tokens then; 0 for LoginClient.
	ClientGen int64
	// Resources are what its access tokens are for (RFC 8707); nil: what all are for.
	Resources []string
	// AuthTime is when the user proved who they are; zero for LoginClient, whose grants begin
	// by that.
	AuthTime time.Time
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
	if err := g.begin(&grant, ttl); err != nil {
		return Grant{}, authz.Secret{}, err
	}
	err = g.db.writeTogether(ctx, func(tx *transaction) error {
		if err := tx.addGrant(grant); err != nil {
			return err
		}
		if err := tx.addRefresh(hash, grant); err != nil {
			return err
		}
		return keepEntry(tx, entry)
	})
	return grant, token, err
}

// begin gives a grant its ID and its times.
func (g Grants) begin(grant *Grant, ttl time.Duration) error {
	id, err := randomNumber(g.db.rand)
	if err != nil {
		return err
	}
	now := toMillis(g.db.now())
	grant.ID, grant.Began, grant.Expires = fmt.Sprintf("%s%016x", grantIDPrefix, id), toTime(now), toTime(now+ttl.Milliseconds())
	return nil
}

// addGrant stores a grant. Of the user's with the client, those that would be the first to
// expire end if there are too many: codes that were not used before grants with tokens.
func (tx *transaction) addGrant(g Grant) error {
	scopes, err := json.Marshal(g.Scopes)
	if err != nil {
		return err
	}
	resources, err := json.Marshal(g.Resources)
	if err != nil {
		return err
	}
	if err := tx.endGrants(`"user" = ?1 AND client = ?2 AND id NOT IN
		(SELECT id FROM state_grant WHERE "user" = ?1 AND client = ?2 ORDER BY expires DESC, began DESC, id LIMIT ?3)`, g.User, g.Client, maxGrantsPerUser-1); err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO state_grant (id, "user", client, scopes, gen, address, began, expires, client_gen, resources, auth_time)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)`,
		g.ID, g.User, g.Client, string(scopes), g.Gen, g.Address, toMillis(g.Began), toMillis(g.Expires), g.ClientGen, string(resources), optionalMillis(g.AuthTime))
	return err
}

// addRefresh stores a refresh token of the grant, which ends with it.
func (tx *transaction) addRefresh(hash []byte, grant Grant) error {
	_, err := tx.exec(`INSERT INTO state_refresh (hash, grant_id, expires) VALUES (?1, ?2, ?3)`, hash, grant.ID, toMillis(grant.Expires))
	return err
}

// endGrants removes grants with all their refresh tokens and codes.
func (tx *transaction) endGrants(where string, args ...any) error {
	for _, table := range []string{"state_refresh", "state_auth_code"} {
		if _, err := tx.exec(`DELETE FROM `+table+` WHERE grant_id IN (SELECT id FROM state_grant WHERE `+where+`)`, args...); err != nil {
			return err
		}
	}
	_, err := tx.exec(`DELETE FROM state_grant WHERE `+where, args...)
	return err
}

// extend has the grant end with its latest token.
func (tx *transaction) extend(grant *Grant, until time.Time) error {
	grant.Expires = until
	_, err := tx.exec(`UPDATE state_grant SET expires = ?2 WHERE id = ?1`, grant.ID, toMillis(until))
	return err
}

const grantColumns = `g.id, g."user", g.client, g.scopes, g.gen, g.address, g.began, g.expires, g.client_gen, g.resources, g.auth_time`

// scanGrant reads a row that begins with the grantColumns, and goes on with others.
func scanGrant(row interface{ Scan(dest ...any) error }, others ...any) (g Grant, err error) {
	var scopes, resources []byte
	var began, expires, authTime int64
	columns := []any{&g.ID, &g.User, &g.Client, &scopes, &g.Gen, &g.Address, &began, &expires, &g.ClientGen, &resources, &authTime}
	err = row.Scan(append(columns, others...)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Grant{}, ErrNotFound
	case err != nil:
		return Grant{}, err
	}
	g.Began, g.Expires = toTime(began), toTime(expires)
	if authTime != 0 {
		g.AuthTime = toTime(authTime)
	}
	return g, errors.Join(json.Unmarshal(scopes, &g.Scopes), json.Unmarshal(resources, &g.Resources))
}

// optionalMillis returns a time as it is stored, 0 for the zero time.
func optionalMillis(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return toMillis(at)
}

// Get returns a grant that has not ended. It changes nothing.
func (g Grants) Get(ctx context.Context, id string) (Grant, error) {
	q, done := g.db.storage.reader(ctx)
	defer done()
	grant, err := scanGrant(q.row(`SELECT `+grantColumns+` FROM state_grant AS g WHERE g.id = ?1`, id))
	if err == nil && !g.db.now().Before(grant.Expires) {
		err = ErrNotFound
	}
	if err != nil {
		return Grant{}, fmt.Errorf("reading grant %q: %w", id, err)
	}
	return grant, nil
}

// List returns a user's grants that have not ended, the latest first.
func (g Grants) List(ctx context.Context, user string) ([]Grant, error) {
	q, done := g.db.storage.reader(ctx)
	defer done()
	read := func(row interface{ Scan(dest ...any) error }) (Grant, error) { return scanGrant(row) }
	grants, err := collect(q, read, `SELECT `+grantColumns+` FROM state_grant AS g WHERE g."user" = ?1 AND g.expires > ?2 ORDER BY g.began DESC, g.id`, user, toMillis(g.db.now()))
	if err != nil {
		return nil, fmt.Errorf("listing the grants of a user: %w", err)
	}
	return grants, nil
}

// End ends a grant with its refresh tokens. One that has ended is not an error.
func (g Grants) End(ctx context.Context, entry int64, id string) error {
	err := g.db.writeTogether(ctx, func(tx *transaction) error {
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
