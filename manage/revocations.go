package manage

import (
	"context"
	"time"

	"keyward/manage/access"
	"keyward/store"
	"keyward/store/audit"
)

// RevokeToken ends the token with that id, its jti. Like every revocation of tokens it
// needs keyward:admin and is final.
func (s *Service) RevokeToken(ctx context.Context, a access.Actor, jti string) (store.Revocation, error) {
	r, err := store.RevocationOfToken(jti)
	return s.createRevocation(ctx, a, r, "/jti", err)
}

// RevokeTokensOf ends the subject's tokens that were issued before that time.
func (s *Service) RevokeTokensOf(ctx context.Context, a access.Actor, subject string, before time.Time) (store.Revocation, error) {
	r, err := store.RevocationOfSubject(subject, before)
	return s.createRevocation(ctx, a, r, "", err)
}

// RevokeTokens ends all tokens that were issued before that time.
func (s *Service) RevokeTokens(ctx context.Context, a access.Actor, before time.Time) (store.Revocation, error) {
	r, err := store.RevocationOfAll(before)
	return s.createRevocation(ctx, a, r, "/issued_before", err)
}

// createRevocation writes the revocation unless invalid says why there can be none,
// which is about the member that the pointer names.
func (s *Service) createRevocation(ctx context.Context, a access.Actor, r store.Revocation, pointer string, invalid error) (store.Revocation, error) {
	var bad problems
	bad.check(pointer, invalid)
	err := bad.err()
	if !a.Has(access.Admin) {
		err = refuse(Forbidden, "revoking tokens needs the scope %s", access.ScopeAdmin)
	}
	target := r.TokenID + r.Subject
	if err == nil {
		err = s.editRevocations(ctx, a, func(tx store.Tx[store.Revocation]) error {
			r.At = s.Now().UTC()
			tx.Put(&r, a.Entry(audit.RevocationCreate, target, revocationChanges(&r)))
			return nil
		})
	}
	if err := s.finish(ctx, a, audit.RevocationCreate, target, r.Seq, err); err != nil {
		return store.Revocation{}, err
	}
	return r, nil
}
