package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
)

// ErrCodeUsed is an authorization code that was used before by its client. What came of it is
// to be ended (RFC 6749 section 4.1.2).
var ErrCodeUsed = errors.New("the authorization code was used before")

// AuthorizationCode is what an authorization code is bound to beside its grant.
type AuthorizationCode struct {
	RedirectURI string // as it was requested; "": it was not
	Challenge   string // of RFC 7636, by S256; "": none
	Nonce       string // of OpenID Connect; "": none
	Expires     time.Time
	Used        bool
}

// CreateWithCode stores a new grant and returns it with its authorization code, which is valid
// for ttl.
func (g Grants) CreateWithCode(ctx context.Context, entry int64, grant Grant, code AuthorizationCode, ttl time.Duration) (Grant, authz.Secret, error) {
	if grant.User == "" || grant.Client == "" || ttl <= 0 {
		return Grant{}, authz.Secret{}, fmt.Errorf("creating a grant: %w: no user, client or lifetime", ErrInvalid)
	}
	token, hash, err := newToken(g.db.rand)
	if err == nil {
		err = g.begin(&grant, ttl)
	}
	if err == nil {
		err = g.db.writeTogether(ctx, func(tx *transaction) error {
			if err := tx.addGrant(grant); err != nil {
				return err
			}
			_, err := tx.exec(`INSERT INTO state_auth_code (hash, grant_id, redirect_uri, challenge, nonce, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)`,
				hash, grant.ID, code.RedirectURI, code.Challenge, code.Nonce, toMillis(grant.Expires))
			if err != nil {
				return err
			}
			return keepEntry(tx, entry)
		})
	}
	if err != nil {
		return Grant{}, authz.Secret{}, fmt.Errorf("creating a grant: %w", err)
	}
	return grant, token, nil
}

const selectCode = `SELECT ` + grantColumns + `, c.redirect_uri, c.challenge, c.nonce, c.expires, c.used IS NOT NULL
	FROM state_auth_code AS c JOIN state_grant AS g ON g.id = c.grant_id WHERE c.hash = ?1`

func scanAuthorizationCode(row *sql.Row) (g Grant, c AuthorizationCode, err error) {
	var expires int64
	g, err = scanGrant(row, &c.RedirectURI, &c.Challenge, &c.Nonce, &expires, &c.Used)
	c.Expires = toTime(expires)
	return g, c, err
}

// FindCode returns what an authorization code is bound to, also of one that was used or has
// expired, as long as its grant has not ended. It changes nothing.
func (g Grants) FindCode(ctx context.Context, token authz.Secret) (Grant, AuthorizationCode, error) {
	hash, ok := hashToken(token)
	if !ok {
		return Grant{}, AuthorizationCode{}, fmt.Errorf("finding an authorization code: %w", ErrNotFound)
	}
	q, done := g.db.storage.reader(ctx)
	defer done()
	grant, code, err := scanAuthorizationCode(q.row(selectCode, hash))
	if err == nil && !g.db.now().Before(grant.Expires) {
		err = ErrNotFound
	}
	if err != nil {
		return Grant{}, AuthorizationCode{}, fmt.Errorf("finding an authorization code: %w", err)
	}
	return grant, code, nil
}

// Redemption says what an authorization code is redeemed for.
type Redemption struct {
	Client    string        // that presents it
	AccessTTL time.Duration // of the access token
	// RefreshTTL is how long the first refresh token is valid; 0: there is none.
	RefreshTTL time.Duration
}

// Redeem uses an authorization code up, and returns its grant with the first refresh token. Of
// several calls with one code, in all processes and across a power cut, one succeeds.
//
// ErrNotFound is a code that is unknown, expired, or another client's: it changes nothing.
// ErrCodeUsed comes with the grant, which its caller ends.
func (g Grants) Redeem(ctx context.Context, token authz.Secret, r Redemption) (grant Grant, refresh authz.Secret, err error) {
	hash, ok := hashToken(token)
	if !ok {
		return Grant{}, authz.Secret{}, fmt.Errorf("redeeming an authorization code: %w", ErrNotFound)
	}
	refresh, refreshHash, err := newToken(g.db.rand)
	if err != nil {
		return Grant{}, authz.Secret{}, fmt.Errorf("redeeming an authorization code: %w", err)
	}
	err = g.db.writeTogether(ctx, func(tx *transaction) error {
		now := toTime(toMillis(g.db.now()))
		var code AuthorizationCode
		var err error
		grant, code, err = scanAuthorizationCode(tx.row(selectCode, hash))
		switch {
		case err != nil:
			return err
		case grant.Client != r.Client:
			return ErrNotFound
		case code.Used:
			return ErrCodeUsed
		case !now.Before(code.Expires):
			return ErrNotFound
		}
		if _, err := tx.exec(`UPDATE state_auth_code SET used = ?2 WHERE hash = ?1`, hash, toMillis(now)); err != nil {
			return err
		}
		if err := tx.extend(&grant, now.Add(max(r.AccessTTL, r.RefreshTTL))); err != nil || r.RefreshTTL == 0 {
			return err
		}
		return tx.addRefresh(refreshHash, grant)
	})
	if err != nil {
		return grant, authz.Secret{}, fmt.Errorf("redeeming an authorization code: %w", err)
	}
	if r.RefreshTTL == 0 {
		refresh = authz.Secret{}
	}
	return grant, refresh, nil
}
