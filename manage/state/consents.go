package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Consent is that a user has allowed a client to have tokens, with these scopes at most.
type Consent struct {
	Client string
	Scopes []string
	Given  time.Time
}

// Consents are those that are remembered, so that the user is not asked again.
type Consents struct{ db *DB }

// Get returns the user's consent for the client; ErrNotFound if there is none.
func (c Consents) Get(ctx context.Context, user, client string) (Consent, error) {
	q, done := c.db.storage.reader(ctx)
	defer done()
	consent, err := scanConsent(q.row(`SELECT client, scopes, given FROM state_consent WHERE "user" = ?1 AND client = ?2`, user, client))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Consent{}, fmt.Errorf("reading a consent: %w", err)
	}
	return consent, nil
}

func scanConsent(row interface{ Scan(dest ...any) error }) (c Consent, err error) {
	var scopes []byte
	var given int64
	if err := row.Scan(&c.Client, &scopes, &given); err != nil {
		return Consent{}, err
	}
	c.Given = toTime(given)
	return c, json.Unmarshal(scopes, &c.Scopes)
}

// Put remembers a consent in the place of an earlier one of the user for the client.
func (c Consents) Put(ctx context.Context, entry int64, user string, consent Consent) error {
	scopes, err := json.Marshal(consent.Scopes)
	if err == nil {
		_, err = c.db.changeOne(ctx, powerCut, entry, `INSERT INTO state_consent ("user", client, scopes, given) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT ("user", client) DO UPDATE SET scopes = excluded.scopes, given = excluded.given`,
			user, consent.Client, string(scopes), toMillis(c.db.now()))
	}
	if err != nil {
		return fmt.Errorf("keeping a consent: %w", err)
	}
	return nil
}

// List returns the user's consents, by client.
func (c Consents) List(ctx context.Context, user string) ([]Consent, error) {
	q, done := c.db.storage.reader(ctx)
	defer done()
	consents, err := collect(q, scanConsent, `SELECT client, scopes, given FROM state_consent WHERE "user" = ?1 ORDER BY client`, user)
	if err != nil {
		return nil, fmt.Errorf("listing the consents of a user: %w", err)
	}
	return consents, nil
}

// Withdraw ends the user's consent for the client. One that is not there is not an error.
func (c Consents) Withdraw(ctx context.Context, entry int64, user, client string) error {
	_, err := c.db.changeOne(ctx, powerCut, entry, `DELETE FROM state_consent WHERE "user" = ?1 AND client = ?2`, user, client)
	if err != nil {
		return fmt.Errorf("withdrawing a consent: %w", err)
	}
	return nil
}
