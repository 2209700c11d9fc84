package manage

import (
	"context"
	"errors"
	"slices"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
)

// steps lend package registry what every change goes through.
func (s *Service) steps() registry.Steps {
	return registry.Steps{
		MayRead: func(ctx context.Context, a access.Actor, what string) error {
			return s.mayRead(ctx, a, access.Read, false, what)
		},
		MayMakeSecret: func(a access.Actor) error { return s.mayMakeSecret(a, "") },
		Finish:        s.finish, FindUser: s.findUser, Now: s.Now,
	}
}

// recordsOf are the records of a kind whose store may be missing.
func recordsOf[R, F any](s *Service, reader store.Reader[R, F], editor store.Editor[R]) registry.Records[R, F] {
	if reader == nil || editor == nil {
		return registry.Records[R, F]{}
	}
	return registry.Records[R, F]{
		Reader: reader,
		Edit: func(ctx context.Context, a access.Actor, edit func(store.Tx[R]) error) error {
			return editOthers(ctx, s, a, editor, edit)
		},
	}
}

// findUser returns the user of that name; the zero record if there is none.
func (s *Service) findUser(ctx context.Context, name string) (r store.UserRecord, err error) {
	if s.Users == nil {
		return r, nil
	}
	if r, err = s.Users.Get(ctx, name); errors.Is(err, store.ErrNotFound) {
		return store.UserRecord{}, nil
	}
	return r, err
}

// hasKeys reports whether a key of the project has not ended.
func (s *Service) hasKeys(ctx context.Context, project string) (bool, error) {
	if s.Keys == nil {
		return false, fault.Refuse(fault.Conflict, "the configuration has no keys.file, so that it is not known whether the project has keys in force")
	}
	rules, err := s.keyRules(ctx)
	if err == nil && s.Rules == nil && s.Users != nil {
		rules.Ended, err = s.Users.Ended(ctx)
	}
	if err != nil {
		return false, err
	}
	for page := (store.Page{Limit: 1000}); ; {
		keys, next, err := s.Keys.List(ctx, store.KeyFilter{Project: project}, page)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(keys, func(k store.KeyRecord) bool { return !rules.State(k.Status(), s.Now()).HasEnded() }) {
			return true, nil
		}
		if next == "" {
			return false, nil
		}
		page.After = next
	}
}
