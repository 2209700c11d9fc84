package manage

import (
	"context"

	"keyward/manage/access"
	"keyward/manage/changes"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// maxBulk bounds the keys that one call revokes by their ids.
const maxBulk = 10_000

// Selection is which keys a call revokes: exactly one of its members.
type Selection struct {
	IDs     []string
	User    string // whose sessions and tokens end too
	Project string
}

// Revoked is what became of a call that revokes several keys.
type Revoked struct {
	IDs     []string // that have ended by this call
	Unknown []string // of Selection.IDs
	Seq     int64    // of the last change; zero if nothing has changed
}

// RevokeKeys revokes keys in one durable step: all of them, or none. Those that have
// ended already are in neither list. It needs keyward:keys.
func (s *Service) RevokeKeys(ctx context.Context, a access.Actor, which Selection) (Revoked, error) {
	err := s.mayChangeKeys(a, "")
	if err == nil {
		err = which.check()
	}
	if err == nil && which.User != "" {
		return s.revokeOfUser(ctx, a, which.User)
	}
	var done Revoked
	var last *store.KeyRecord
	if err == nil {
		err = s.editKeys(ctx, a, func(tx store.Tx[store.KeyRecord]) (err error) {
			done = Revoked{}
			last, err = s.revokeSelected(ctx, tx, a, which, &done)
			return err
		})
	}
	if err == nil && last != nil {
		done.Seq = last.Seq
	}
	record := which.Project
	if record == "" {
		record = "keys"
	}
	if err := s.finish(ctx, a, audit.KeyRevoke, record, done.Seq, err); err != nil {
		return Revoked{}, err
	}
	return done, nil
}

func (w Selection) check() error {
	var bad fault.Problems
	switch {
	case w.members() != 1:
		bad.Add("", "needs exactly one of ids, user and project")
	case len(w.IDs) > maxBulk:
		bad.Add("/ids", "has more than %d", maxBulk)
	}
	return bad.Err()
}

// members is how many members say what to revoke.
func (w Selection) members() int {
	n := 0
	for _, given := range []bool{len(w.IDs) > 0, w.User != "", w.Project != ""} {
		if given {
			n++
		}
	}
	return n
}

// revokeOfUser ends all that a user has. One line of the user's record does that.
func (s *Service) revokeOfUser(ctx context.Context, a access.Actor, user string) (Revoked, error) {
	keys, _, err := s.Keys.List(ctx, store.KeyFilter{User: user}, store.Page{})
	if err != nil {
		return Revoked{}, fault.Of(err)
	}
	rules, err := s.keyRules(ctx)
	if err != nil {
		return Revoked{}, fault.Of(err)
	}
	r, err := s.EndUser(ctx, a, UserRef{Name: user})
	if err != nil {
		return Revoked{}, err
	}
	done := Revoked{Seq: r.Seq}
	for i := range keys {
		if rules.State(keys[i].Status(), s.Now()) != store.KeyRevoked {
			done.IDs = append(done.IDs, keys[i].ID)
		}
	}
	return done, nil
}

// revokeSelected puts what revoking the selected keys makes of their records, and
// returns the last one; nil if none has changed. Nothing else changes keys meanwhile, so
// that a list has all that there are.
func (s *Service) revokeSelected(ctx context.Context, tx store.Tx[store.KeyRecord], a access.Actor, which Selection, done *Revoked) (last *store.KeyRecord, err error) {
	filter := store.KeyFilter{Project: which.Project}
	if which.Project == "" {
		filter.IDs = setOf(which.IDs)
	}
	keys, _, err := s.Keys.List(ctx, filter, store.Page{})
	if err != nil {
		return nil, err
	}
	for i := range keys {
		delete(filter.IDs, keys[i].ID)
		after := keys[i].Clone()
		if after.Revoke(s.Now().UTC()) {
			after.Ending = a.Act("")
			tx.Put(&after, a.Entry(audit.KeyRevoke, after.ID, changes.Key(&keys[i], &after)))
			done.IDs, last = append(done.IDs, after.ID), &after
		}
	}
	done.Unknown = remaining(which.IDs, filter.IDs)
	return last, nil
}

// RevokedBefore returns what became of an earlier call, which made the changes of those
// entries. It needs what RevokeKeys needs, and changes nothing.
func (s *Service) RevokedBefore(ctx context.Context, a access.Actor, which Selection, made []audit.Entry) (Revoked, error) {
	err := s.mayChangeKeys(a, "")
	if err == nil {
		err = which.check()
	}
	if err := s.finish(ctx, a, audit.KeyRevoke, "keys", 0, err); err != nil {
		return Revoked{}, err
	}
	var done Revoked
	for i := range made {
		if done.Seq = max(done.Seq, made[i].Seq); made[i].Action == audit.KeyRevoke {
			done.IDs = append(done.IDs, made[i].Record)
		}
	}
	if which.Project != "" {
		return done, nil
	}
	filter := store.KeyFilter{User: which.User}
	if which.User == "" {
		filter.IDs = setOf(which.IDs)
	}
	keys, _, err := s.Keys.List(ctx, filter, store.Page{})
	for i := range keys {
		delete(filter.IDs, keys[i].ID)
		// One line of the user's record has ended its keys, and names none of them.
		if which.User != "" && hadKey(&keys[i], made) {
			done.IDs = append(done.IDs, keys[i].ID)
		}
	}
	done.Unknown = remaining(which.IDs, filter.IDs)
	return done, fault.Of(err)
}

// hadKey reports whether the key was there, and had not ended by itself, when the first
// of the changes was made.
func hadKey(r *store.KeyRecord, made []audit.Entry) bool {
	at := made[0].Time
	return !r.Created.After(at) && (r.Revoked.IsZero() || r.Revoked.After(at))
}

// setOf returns the ids as a set.
func setOf(ids []string) map[string]bool {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// remaining returns those of the ids that the set has, each once. It empties the set.
func remaining(ids []string, set map[string]bool) (in []string) {
	for _, id := range ids {
		if set[id] {
			in = append(in, id)
			delete(set, id)
		}
	}
	return in
}
