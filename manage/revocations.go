package manage

import (
	"context"
	"errors"
	"time"

	"keyward/manage/access"
	"keyward/manage/changes"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// TokenRevocation says which tokens are revoked: exactly one by its id, those of a
// session, those of a subject that were issued before a time, or all that were.
type TokenRevocation struct {
	TokenID, SessionID, Subject string
	IssuedBefore                time.Time

	Until  time.Time // when they all have expired; zero: not known, and the revocation stays
	Reason string
}

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

// Revoke ends the tokens that the revocation names.
func (s *Service) Revoke(ctx context.Context, a access.Actor, which TokenRevocation) (store.Revocation, error) {
	r, pointer, err := which.record()
	if err == nil && !which.Until.IsZero() && (!which.Until.After(s.Now()) || !which.Until.After(which.IssuedBefore)) {
		pointer, err = "/until", errUntil
	}
	if err == nil {
		pointer, err = "/reason", store.CheckReason(which.Reason)
	}
	r.Until, r.Reason = which.Until.UTC(), which.Reason
	return s.createRevocation(ctx, a, r, pointer, err)
}

// record returns the revocation, or the member that is wrong.
func (t TokenRevocation) record() (r store.Revocation, pointer string, err error) {
	named := 0
	for _, text := range []string{t.TokenID, t.SessionID, t.Subject} {
		if text != "" {
			named++
		}
	}
	byTime := !t.IssuedBefore.IsZero()
	switch {
	case named > 1, named == 0 && !byTime, named == 1 && byTime != (t.Subject != ""):
		err = errWhichTokens
	case t.TokenID != "":
		pointer = "/jti"
		r, err = store.RevocationOfToken(t.TokenID)
	case t.SessionID != "":
		pointer = "/sid"
		r, err = store.RevocationOfSession(t.SessionID)
	case t.Subject != "":
		pointer = "/subject"
		r, err = store.RevocationOfSubject(t.Subject, t.IssuedBefore)
	default:
		pointer = "/issued_before"
		r, err = store.RevocationOfAll(t.IssuedBefore)
	}
	return r, pointer, err
}

// ListRevocations returns a page of the revocations that the filter selects. It needs
// keyward:read.
func (s *Service) ListRevocations(ctx context.Context, a access.Actor, filter store.RevocationFilter, page store.Page) ([]store.Revocation, store.Cursor, error) {
	if err := s.mayRead(ctx, a, access.Read, false, "revocations"); err != nil {
		return nil, "", err
	}
	if s.Revocations == nil {
		return nil, "", errNoRevocations
	}
	all, next, err := s.Revocations.List(ctx, filter, page)
	return all, next, fault.OfList(err)
}

var (
	errNoRevocations = fault.Refuse(fault.NotFound, "there are no revocations here: the configuration has no revocations.file")
	errWhichTokens   = errors.New("wants one of: jti; sid; subject and issued_before; issued_before")
	errUntil         = errors.New("is not after now and after issued_before")
)

// createRevocation writes the revocation unless invalid says why there can be none,
// which is about the member that the pointer names.
func (s *Service) createRevocation(ctx context.Context, a access.Actor, r store.Revocation, pointer string, invalid error) (store.Revocation, error) {
	var bad fault.Problems
	bad.Check(pointer, invalid)
	err := bad.Err()
	switch {
	case !a.Has(access.Admin):
		err = fault.Refuse(fault.Forbidden, "revoking tokens needs the scope %s", access.ScopeAdmin)
	case s.RevocationEditor == nil:
		err = errNoRevocations
	}
	target := r.TokenID + r.SessionID + r.Subject
	if err == nil {
		err = s.editRevocations(ctx, a, s.putRevocation(a, &r, target))
	}
	if err := s.finish(ctx, a, audit.RevocationCreate, target, r.Seq, err); err != nil {
		return store.Revocation{}, err
	}
	return r, nil
}

func (s *Service) putRevocation(a access.Actor, r *store.Revocation, target string) func(store.Tx[store.Revocation]) error {
	return func(tx store.Tx[store.Revocation]) error {
		r.At, r.By, r.Via = s.Now().UTC(), a.Name(), a.Via()
		tx.Put(r, a.Entry(audit.RevocationCreate, target, changes.Revocation(r)))
		return nil
	}
}

// EndTokens ends the tokens with the sid, for the issuer: the actor is their user, who has
// shown the refresh token. All of them have expired at the time until.
func (s *Service) EndTokens(ctx context.Context, a access.Actor, sid string, until time.Time, reason string) error {
	r, err := store.RevocationOfSession(sid)
	if err == nil && s.RevocationEditor == nil {
		err = errNoRevocations
	}
	if err == nil {
		r.Until, r.Reason = until.UTC(), reason
		err = changing(ctx, s, s.RevocationEditor, s.putRevocation(a, &r, sid))
	}
	return s.finish(ctx, a, audit.RevocationCreate, sid, r.Seq, err)
}
