package manage

import (
	"context"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// Made returns the entries of what earlier attempts of the actor's operation changed,
// in their order, by whichever key of its user; none for an actor without one. A process may have died between a
// change and its answer: what was made then must not be made again.
func (s *Service) Made(ctx context.Context, a access.Actor) ([]audit.Entry, error) {
	if a.Operation() == "" {
		return nil, nil
	}
	// This closes an entry whose change was not made.
	if err := s.Audit.Append(ctx); err != nil {
		return nil, fault.Of(err)
	}
	entries, _, err := s.Audit.List(ctx, store.AuditFilter{Operation: a.Operation()}, store.Page{})
	if err != nil {
		return nil, fault.Of(err)
	}
	made := entries[:0]
	for _, e := range entries {
		if e.Outcome == audit.Done && e.Actor == a.Name() {
			made = append(made, e)
		}
	}
	return made, nil
}
