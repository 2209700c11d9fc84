package records

import (
	"context"
	"time"

	"keyward/manage"
	"keyward/store"
)

// Revocations revokes tokens.
type Revocations struct{ service *manage.Service }

// NewRevocations returns what makes the editor's revocations. now may be nil: time.Now.
func NewRevocations(editor store.Editor[store.Revocation], now func() time.Time) *Revocations {
	return &Revocations{manage.New(manage.Config{Stores: manage.Stores{RevocationEditor: editor}, Now: now})}
}

// RevokeToken ends the token with that id.
func (v *Revocations) RevokeToken(ctx context.Context, jti string) (store.Revocation, error) {
	r, err := v.service.RevokeToken(ctx, operator, jti)
	return r, causeOf(err)
}

// RevokeSubject ends the subject's tokens that were issued before that time.
func (v *Revocations) RevokeSubject(ctx context.Context, subject string, before time.Time) (store.Revocation, error) {
	r, err := v.service.RevokeTokensOf(ctx, operator, subject, before)
	return r, causeOf(err)
}

// RevokeIssuedBefore ends all tokens that were issued before that time.
func (v *Revocations) RevokeIssuedBefore(ctx context.Context, before time.Time) (store.Revocation, error) {
	r, err := v.service.RevokeTokens(ctx, operator, before)
	return r, causeOf(err)
}
