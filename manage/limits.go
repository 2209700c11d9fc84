package manage

import (
	"context"

	"keyward/manage/access"
	"keyward/store/audit"
)

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
	return limit, asError(err)
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
	return asError(err)
}
