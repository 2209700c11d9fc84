package manage

import (
	"context"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
	"keyward/usage"
)

// KeyUsage returns the use of a key. It needs keyward:read or keyward:keys; with
// keyward:self or a session the keys of the actor's user, and any other is NotFound.
func (s *Service) KeyUsage(ctx context.Context, a access.Actor, id string) (usage.Usage, error) {
	if err := s.maySeeUsage(ctx, a, id); err != nil {
		return usage.Usage{}, err
	}
	if s.Usage == nil {
		return usage.Usage{}, nil
	}
	used, err := s.Usage(id)
	return used, fault.Of(err)
}

// maySeeUsage refuses, and records, an actor who may not see the use of the key.
func (s *Service) maySeeUsage(ctx context.Context, a access.Actor, id string) error {
	if err := s.mayRead(ctx, a, access.Read|access.Keys|access.Self, false, "usage"); err != nil {
		return err
	}
	r, err := s.Keys.Get(ctx, id)
	if err == nil && !a.Has(access.Read|access.Keys) && !owns(a, &r) {
		s.Refuse(ctx, a, audit.Read, id, fault.NotFound)
		err = store.ErrNotFound
	}
	return fault.Of(err)
}

// KeyLimit returns what is left of a key's rate limit; nil if it has none. It needs
// keyward:read.
func (s *Service) KeyLimit(ctx context.Context, a access.Actor, id string) (*KeyLimit, error) {
	if err := s.mayRead(ctx, a, access.Read, false, "limits"); err != nil {
		return nil, err
	}
	if err := s.hasKey(ctx, id); err != nil || s.Limits == nil {
		return nil, err
	}
	limit, err := s.Limits.KeyLimit(ctx, id)
	return limit, fault.Of(err)
}

// ResetKeyLimit makes the key's count that of one never used. It needs keyward:keys.
func (s *Service) ResetKeyLimit(ctx context.Context, a access.Actor, id string) error {
	err := s.mayChangeKeys(a, "")
	if err == nil {
		err = s.hasKey(ctx, id)
	}
	if err == nil {
		// The entry comes first: a counter that was reset without one would be worse
		// than an entry for a counter that was not.
		err = s.Audit.Append(ctx, a.Entry(audit.LimitReset, id, nil))
	}
	if err == nil && s.Limits != nil {
		err = s.Limits.ResetKeyLimit(ctx, id)
	}
	return s.finish(ctx, a, audit.LimitReset, id, 0, err)
}

// hasKey returns NotFound unless there is such a key.
func (s *Service) hasKey(ctx context.Context, id string) error {
	_, err := s.Keys.Get(ctx, id)
	return fault.Of(err)
}
