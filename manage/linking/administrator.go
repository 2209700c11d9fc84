package linking

import (
	"context"
	"errors"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// LinkUser links the user to the identity with that subject at the issuer, in place of
// the one before; without a subject, the user is not linked any more. Its sessions and
// the tokens of its logins end. It needs keyward:admin: with the identity a person can act
// as the user.
func (l *Identities) LinkUser(ctx context.Context, a access.Actor, name string, ifMatch store.Version, issuer, subject string) (store.UserRecord, error) {
	err := l.mayLinkAny(a)
	if subject == "" {
		issuer = ""
	}
	var after store.UserRecord
	if err == nil {
		err = l.cfg.EditFor(ctx, a, func(tx store.Tx[store.UserRecord]) error {
			before, err := tx.Get(name)
			if err == nil {
				err = ifMatch.Match(&before)
			}
			if err == nil && before.Unsupported {
				err = store.ErrUnsupported
			}
			if err == nil && subject != "" {
				err = isFree(tx, name, &access.Identity{Issuer: issuer, Subject: subject})
			}
			if err != nil {
				return err
			}
			after = before.Clone()
			now := l.cfg.Now().UTC()
			after.OIDCIssuer, after.OIDCSubject, after.At = issuer, subject, now
			after.EndLogins(now)
			return l.cfg.Put(a, tx, audit.UserUpdate, &before, &after)
		})
	}
	if err := l.cfg.Finish(ctx, a, audit.UserUpdate, name, after.Seq, err); err != nil {
		return store.UserRecord{}, err
	}
	after.Password = ""
	return after, nil
}

func (l *Identities) mayLinkAny(a access.Actor) error {
	if !a.Has(access.Admin) {
		return fault.Refuse(fault.Forbidden, "linking a user to an identity needs the scope %s", access.ScopeAdmin)
	}
	return l.cfg.MayMakeSecret(a)
}

// isFree refuses an identity that another user has.
func isFree(tx store.Tx[store.UserRecord], name string, id *access.Identity) error {
	r, err := linkedTo(tx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err == nil && r.Name != name:
		return fault.Refuse(fault.Conflict, "another user has that identity")
	}
	return err
}
