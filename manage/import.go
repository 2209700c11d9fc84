package manage

import (
	"context"
	"errors"
	"fmt"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage/access"
	"keyward/store"
	"keyward/store/audit"
)

// ImportKeys imports keys of another system: all of them, or none. It needs
// keyward:admin. Every key has its entry in the audit log, without the hint of its
// secret.
func (s *Service) ImportKeys(ctx context.Context, a access.Actor, keys []store.ImportedKey) ([]store.KeyRecord, error) {
	var records []store.KeyRecord
	err := s.mayImport(a)
	if err == nil {
		err = checkImport(keys)
	}
	if err == nil && len(keys) > 0 {
		err = s.KeyEditor.Edit(ctx, func(tx store.Tx[store.KeyRecord]) error {
			records, err = s.putImports(tx, a, keys)
			return err
		})
		err = atInputLine(keys, err)
	}
	if err := s.finish(ctx, a, audit.KeyImport, "", lastSeq(records), err); err != nil {
		return nil, err
	}
	return records, nil
}

// putImports puts the records of the keys, which share what their entries say where
// they share their parameters.
func (s *Service) putImports(tx store.Tx[store.KeyRecord], a access.Actor, keys []store.ImportedKey) ([]store.KeyRecord, error) {
	now := s.Now().UTC()
	records := make([]store.KeyRecord, len(keys))
	var changes []audit.Change
	for i := range keys {
		r := &records[i]
		var err error
		if *r, err = s.maker.Imported(&keys[i], now); err != nil {
			return nil, err
		}
		if i == 0 || keys[i].Params != keys[i-1].Params {
			shown := *r
			shown.Hint, shown.Prefix = "", ""
			changes = keyChanges(&store.KeyRecord{}, &shown)
		}
		tx.Put(r, a.Entry(audit.KeyImport, r.ID, changes))
	}
	return records, nil
}

// checkImport returns why some of the keys cannot be imported. Parameters are checked
// once, which many keys share.
func checkImport(keys []store.ImportedKey) error {
	first := make(map[apikey.Digest]int, len(keys))
	for i := range keys {
		k := &keys[i]
		if line, twice := first[k.Hash]; twice {
			return &Error{Code: Conflict, Detail: "a key is twice in the input", Cause: fmt.Errorf("input line %d: the key of line %d again: %w", k.Line, line, store.ErrDuplicate)}
		}
		first[k.Hash] = k.Line
		if i > 0 && k.Params == keys[i-1].Params {
			continue
		}
		if err := checkImported(k.Params); err != nil {
			return &Error{
				Code: Invalid, Detail: "a key of the input cannot be imported",
				Fields: []FieldError{{fmt.Sprintf("/%d", i), detailOf(err)}}, Cause: fmt.Errorf("input line %d: %w", k.Line, err),
			}
		}
	}
	return nil
}

// checkImported returns why a key cannot have the parameters; the error is ErrInvalid.
func checkImported(p *store.KeyParams) error {
	if err := p.Check(); err != nil {
		return err
	}
	if p.Rate != "" {
		if _, err := authz.ParseRate(p.Rate); err != nil {
			return fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
	}
	var bad problems
	checkManaging(&bad, p.Scopes)
	if p.Scopes != nil && p.User == "" && len(access.Managing(*p.Scopes)) > 0 {
		bad.add("/scopes", "a scope that begins with %s needs a user", access.ScopePrefix)
	}
	return errors.Unwrap(bad.err())
}

// atInputLine adds to the error of an import the line of the input that it is about.
func atInputLine(keys []store.ImportedKey, err error) error {
	var known *store.DuplicateKeyError
	if errors.As(err, &known) {
		return fmt.Errorf("input line %d: %w", keys[known.Put].Line, err)
	}
	return err
}

func lastSeq(records []store.KeyRecord) int64 {
	if len(records) == 0 {
		return 0
	}
	return records[len(records)-1].Seq
}

// ImportUsers imports users of another system with the hashes of their passwords:
// all of them, or none. Of those who are there already only the password changes. It
// needs keyward:admin.
func (s *Service) ImportUsers(ctx context.Context, a access.Actor, users []store.ImportedUser) ([]store.UserRecord, error) {
	var records []store.UserRecord
	err := s.mayImport(a)
	if err == nil && len(users) > 0 {
		err = s.UserEditor.Edit(ctx, func(tx store.Tx[store.UserRecord]) error {
			records, err = s.putUsers(tx, a, users)
			return err
		})
	}
	var seq int64
	if len(records) > 0 {
		seq = records[len(records)-1].Seq
	}
	if err := s.finish(ctx, a, audit.UserImport, "", seq, err); err != nil {
		return nil, err
	}
	for i := range records {
		records[i].Password = ""
	}
	return records, nil
}

func (s *Service) putUsers(tx store.Tx[store.UserRecord], a access.Actor, users []store.ImportedUser) ([]store.UserRecord, error) {
	there := make(map[string]store.UserRecord, len(users))
	for _, user := range users {
		there[user.Name] = store.UserRecord{}
	}
	err := tx.Each(func(r *store.UserRecord) error {
		if _, wanted := there[r.Name]; wanted {
			there[r.Name] = r.Clone()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	records := make([]store.UserRecord, len(users))
	for i, user := range users {
		before := there[user.Name]
		if before.Name == "" {
			before, err = store.UserRecord{Name: user.Name, Created: now, CreatedBy: a.Creator()}, store.CheckUserName(user.Name)
		} else if before.Unsupported {
			err = store.ErrUnsupported
		}
		if err != nil {
			return nil, fmt.Errorf("input line %d: %w", user.Line, err)
		}
		records[i] = before.Clone()
		if !before.At.IsZero() && before.Password != user.Password { // not a new user
			records[i].EndLogins(now)
		}
		records[i].Password, records[i].At = user.Password, now
		tx.Put(&records[i], a.Entry(audit.UserImport, user.Name, userChanges(&before, &records[i])))
	}
	return records, nil
}
