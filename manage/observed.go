package manage

import (
	"context"
	"errors"

	"keyward/manage/access"
	"keyward/manage/denials"
	"keyward/usage"
)

// KeyUsage returns the use of a key. It needs keyward:read or keyward:keys, or the
// key is the actor's own and asked for as such.
func (s *Service) KeyUsage(ctx context.Context, a access.Actor, ref KeyRef) (usage.Usage, error) {
	if _, err := s.Key(ctx, a, ref); err != nil {
		return usage.Usage{}, err
	}
	if s.Usage == nil {
		return usage.Usage{}, nil
	}
	used, err := s.Usage(ref.ID)
	return used, asError(err)
}

// Decision returns a recent denial of this process, and what would be decided for the
// request now; nil if that cannot be decided again. It needs keyward:read.
func (s *Service) Decision(ctx context.Context, a access.Actor, id string) (*denials.Denial, *denials.Now, error) {
	if err := s.mayRead(ctx, a, access.Read, false, "decisions"); err != nil {
		return nil, nil, err
	}
	var denial *denials.Denial
	if s.Denials != nil {
		denial = s.Denials.Get(id)
	}
	if denial == nil {
		return nil, nil, refuse(NotFound, "this process has no denial of that id, or has it no more")
	}
	now, err := denial.Recheck(ctx, s.Current)
	if errors.Is(err, denials.ErrNotRepeatable) {
		err = nil
	}
	return denial, now, asError(err)
}
