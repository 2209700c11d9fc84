package manage

import (
	"context"
	"net/netip"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// KeyPatch is what is to change of a key; nil is what is to stay.
type KeyPatch struct {
	Name, Project, Rate, Description, Owner *string    // "" removes all but the name
	Paths                                   *[]string  // empty: anywhere
	Scopes                                  **[]string // to nil: the user's
	Expires, NotBefore                      *time.Time // zero removes it
	CIDRs                                   *[]netip.Prefix
}

// UpdateKey changes a key. It needs what creating the key as it is, and the result,
// would need. A key that has ended is [Ended].
func (s *Service) UpdateKey(ctx context.Context, a access.Actor, ref KeyRef, patch KeyPatch) (store.KeyRecord, error) {
	if err := s.checkPatch(&patch); err != nil {
		return store.KeyRecord{}, s.finish(ctx, a, audit.KeyUpdate, ref.ID, 0, err)
	}
	return s.changeKey(ctx, a, ref, audit.KeyUpdate, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if err := s.changeable(ctx, r, now); err != nil {
			return false, err
		}
		patch.apply(r)
		r.At = now
		return true, nil
	})
}

// checkPatch returns all that is wrong with what the patch gives.
func (s *Service) checkPatch(p *KeyPatch) error {
	var bad fault.Problems
	if p.Name != nil && *p.Name == "" {
		bad.Add("/name", "cannot be removed: it says what the key is for")
	}
	s.checkSettings(&bad, p.params())
	return bad.Err()
}

// params are the parameters that the patch gives, which are checked as those of a new key.
func (p *KeyPatch) params() *store.KeyParams {
	var params store.KeyParams
	for from, to := range map[*string]*string{
		p.Name: &params.Name, p.Project: &params.Project, p.Rate: &params.Rate, p.Description: &params.Description, p.Owner: &params.Owner,
	} {
		if from != nil {
			*to = *from
		}
	}
	if p.Paths != nil {
		params.Paths = *p.Paths
	}
	if p.Scopes != nil {
		params.Scopes = *p.Scopes
	}
	if p.Expires != nil {
		params.Expires = *p.Expires
	}
	if p.CIDRs != nil {
		params.CIDRs = *p.CIDRs
	}
	return &params
}

func (p *KeyPatch) apply(r *store.KeyRecord) {
	for to, from := range map[*string]*string{
		&r.Name: p.Name, &r.Project: p.Project, &r.Rate: p.Rate, &r.Description: p.Description, &r.Owner: p.Owner,
	} {
		if from != nil {
			*to = *from
		}
	}
	if p.Paths != nil {
		r.Paths = *p.Paths
	}
	if p.Scopes != nil {
		r.Scopes = *p.Scopes
	}
	if p.Expires != nil {
		r.Expires = p.Expires.UTC()
	}
	if p.NotBefore != nil {
		r.NotBefore = p.NotBefore.UTC()
	}
	if p.CIDRs != nil {
		r.CIDRs = *p.CIDRs
	}
}

// PauseKey has the checks refuse the key until it is resumed. Its secret stays.
func (s *Service) PauseKey(ctx context.Context, a access.Actor, ref KeyRef) (store.KeyRecord, error) {
	return s.changeKey(ctx, a, ref, audit.KeyPause, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if err := s.changeable(ctx, r, now); err != nil || r.Paused != nil {
			return false, err
		}
		r.Paused, r.At = &store.Pause{Since: now, Act: *a.Act(ref.Reason)}, now
		return true, nil
	})
}

// ResumeKey ends a pause. It needs what creating the key would need.
func (s *Service) ResumeKey(ctx context.Context, a access.Actor, ref KeyRef) (store.KeyRecord, error) {
	return s.changeKey(ctx, a, ref, audit.KeyResume, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if err := s.changeable(ctx, r, now); err != nil || r.Paused == nil {
			return false, err
		}
		r.Paused, r.At = nil, now
		return true, nil
	})
}

// EndGrace ends the secrets that rotations replaced, whose grace is not over.
func (s *Service) EndGrace(ctx context.Context, a access.Actor, ref KeyRef) (store.KeyRecord, error) {
	return s.changeKey(ctx, a, ref, audit.KeyEndGrace, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if len(r.Unexpired(now)) == 0 {
			return false, nil
		}
		r.EndGrace()
		r.At = now
		return true, nil
	})
}

// changeable returns why the key cannot be changed, other than by what ends it.
func (s *Service) changeable(ctx context.Context, r *store.KeyRecord, now time.Time) error {
	rules, err := s.keyRules(ctx)
	if err != nil {
		return err
	}
	switch rules.State(r.Status(), now) {
	case store.KeyRevoked:
		return store.ErrRevoked
	case store.KeyUnsupported:
		return store.ErrUnsupported
	default:
		return nil
	}
}

func checkReason(reason string) error {
	var bad fault.Problems
	bad.Check("/reason", store.CheckReason(reason))
	return bad.Err()
}

// checkSettings adds what is wrong with what a key may do and when.
func (s *Service) checkSettings(bad *fault.Problems, p *store.KeyParams) {
	checkAccess(bad, p.Paths, orZero(p.Scopes))
	rest := *p
	rest.Paths, rest.Scopes = nil, nil
	bad.Check("", rest.Check())
	if p.Rate != "" {
		if _, err := authz.ParseRate(p.Rate); err != nil {
			bad.Check("/rate", err)
		}
	}
	if !p.Expires.IsZero() && !p.Expires.After(s.Now()) {
		bad.Add("/expires", "is not in the future")
	}
}
