package manage

import (
	"context"
	"errors"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/changes"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// CreateFirstAdministrator makes the user that the actor has a link to become, with
// keyward:admin. It is NotFound where an administrator exists: the link is not one any
// more.
func (s *Service) CreateFirstAdministrator(ctx context.Context, a access.Actor, password authz.Secret) (store.UserRecord, error) {
	if !a.ByLink() {
		return store.UserRecord{}, fault.Refuse(fault.Forbidden, "the first administrator needs a link")
	}
	var bad fault.Problems
	bad.Check("/name", store.CheckUserName(a.Name()))
	checkPassword(&bad, password)
	err := bad.Err()
	var hash string
	if err == nil {
		hash, err = s.HashPassword(ctx, password)
	}
	if err != nil {
		return store.UserRecord{}, fault.Of(err)
	}
	var r store.UserRecord
	err = changing(ctx, s, s.UserEditor, func(tx store.Tx[store.UserRecord]) error {
		err := tx.Each(func(r *store.UserRecord) error {
			if administers(r) {
				return store.ErrNotFound
			}
			return nil
		})
		if err != nil {
			return err
		}
		if _, err := tx.Get(a.Name()); !errors.Is(err, store.ErrNotFound) {
			return errors.Join(err, store.ErrDuplicate)
		}
		now := s.Now().UTC()
		r = store.UserRecord{Name: a.Name(), Scopes: []string{access.ScopeAdmin}, Password: hash, Created: now, At: now}
		tx.Put(&r, a.Entry(audit.UserCreate, r.Name, changes.User(&store.UserRecord{}, &r)))
		return nil
	})
	return s.finishUser(ctx, a, audit.UserCreate, a.Name(), r, err)
}

// LacksAdministrator returns Conflict if there is an enabled administrator.
func (s *Service) LacksAdministrator(ctx context.Context) error {
	page := store.Page{Limit: 1000}
	for {
		users, next, err := s.Users.List(ctx, store.UserFilter{}, page)
		if err != nil {
			return fault.Of(err)
		}
		for i := range users {
			if administers(&users[i]) {
				return fault.Refuse(fault.Conflict, "an administrator exists")
			}
		}
		if next == "" {
			return nil
		}
		page.After = next
	}
}

// keepAdministrator refuses a change that leaves no enabled administrator.
func keepAdministrator(tx store.Tx[store.UserRecord], before, after *store.UserRecord) error {
	if !administers(before) || administers(after) {
		return nil
	}
	others := 0
	err := tx.Each(func(r *store.UserRecord) error {
		if r.Name != after.Name && administers(r) {
			others++
		}
		return nil
	})
	if err == nil && others == 0 {
		err = fault.Refuse(fault.Conflict, "the last enabled administrator stays")
	}
	return err
}

// administers reports whether the user is an enabled administrator.
func administers(r *store.UserRecord) bool {
	return !r.Disabled && !r.Unsupported && r.Deleted.IsZero() && access.RolesOf(r.Scopes).Has(access.Admin)
}
