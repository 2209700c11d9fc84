package manage

import (
	"context"
	"errors"
	"fmt"

	"keyward/apikey"
	"keyward/manage/access"
	"keyward/manage/changes"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/importer"
)

// MayImport refuses, and records, an actor who may not import: before it sends many
// keys.
func (s *Service) MayImport(ctx context.Context, a access.Actor) error {
	return s.finish(ctx, a, audit.KeyImport, "", 0, s.mayImport(a))
}

// ReadKey reads the key of a line, for ImportKeys: the key itself, or hashed its hash.
// The error does not repeat it.
func (s *Service) ReadKey(line int, text string, hashed bool, p *store.KeyParams) (store.ImportedKey, error) {
	k, err := importer.KeyFormat{Hashed: hashed, InBasic: s.KeysInBasic}.ReadKey(text, p, s.Hasher)
	k.Line = line
	var bad fault.Problems
	bad.Check("", err)
	return k, bad.Err()
}

// ImportKeys imports keys of another system: all of them, or none. It needs
// keyward:admin. Every key has its entry in the audit log, without the hint of its
// secret.
func (s *Service) ImportKeys(ctx context.Context, a access.Actor, keys []store.ImportedKey) ([]store.KeyRecord, error) {
	var records []store.KeyRecord
	err := s.mayImport(a)
	if err == nil {
		err = s.checkImport(keys)
	}
	if err == nil && len(keys) > 0 {
		err = s.editKeys(ctx, a, func(tx store.Tx[store.KeyRecord]) error {
			records, err = s.putImports(ctx, tx, a, keys)
			return err
		})
		err = atInputLine(keys, err)
	}
	if err := s.finish(ctx, a, audit.KeyImport, "", 0, err); err != nil {
		return nil, err
	}
	return records, s.inForce(ctx, audit.KeyImport, lastSeq(records), len(records))
}

// putImports puts the records of the keys, which share what their entries say where
// they share their parameters.
func (s *Service) putImports(ctx context.Context, tx store.Tx[store.KeyRecord], a access.Actor, keys []store.ImportedKey) ([]store.KeyRecord, error) {
	now := s.Now().UTC()
	records := make([]store.KeyRecord, len(keys))
	var made []audit.Change
	var bad fault.LineErrors
	for i := range keys {
		r := &records[i]
		var err error
		if *r, err = s.maker.Imported(&keys[i], now); err != nil {
			return nil, err
		}
		r.CreatedBy = a.Creator()
		if i == 0 || keys[i].Params != keys[i-1].Params {
			bad.Add(keys[i].Line, s.RequireProject(ctx, r.Project))
			shown := *r
			shown.Hint, shown.Prefix = "", ""
			made = changes.Key(&store.KeyRecord{}, &shown)
		}
		tx.Put(r, a.Entry(audit.KeyImport, r.ID, made))
	}
	return records, bad.Err()
}

// checkImport returns why some of the keys cannot be imported. Parameters are checked
// once, which many keys share.
func (s *Service) checkImport(keys []store.ImportedKey) error {
	first := make(map[apikey.Digest]int, len(keys))
	var bad fault.LineErrors
	for i := range keys {
		k := &keys[i]
		if line, twice := first[k.Hash]; twice {
			return &fault.Error{
				Code: fault.Conflict, Detail: fmt.Sprintf("line %d has the key of line %d again", k.Line, line),
				Cause: fmt.Errorf("input line %d: the key of line %d again: %w", k.Line, line, store.ErrDuplicate),
			}
		}
		first[k.Hash] = k.Line
		if i == 0 || k.Params != keys[i-1].Params {
			bad.Add(k.Line, s.checkImported(k.Params))
		}
	}
	return bad.Err()
}

// checkImported returns why a key cannot have the parameters.
func (s *Service) checkImported(p *store.KeyParams) error {
	var bad fault.Problems
	s.checkSettings(&bad, p)
	if p.User == "" && len(access.Managing(orZero(p.Scopes))) > 0 {
		bad.Add("/scopes", "a scope that begins with %s needs a user", access.ScopePrefix)
	}
	return bad.Err()
}

// atInputLine adds to the error of an import the line of the input that it is about.
func atInputLine(keys []store.ImportedKey, err error) error {
	var known *store.DuplicateKeyError
	if !errors.As(err, &known) {
		return err
	}
	line := keys[known.Put].Line
	return &fault.Error{Code: fault.Conflict, Detail: fmt.Sprintf("line %d has a key that is there already", line), Cause: fmt.Errorf("input line %d: %w", line, err)}
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
		err = s.editUsers(ctx, a, func(tx store.Tx[store.UserRecord]) error {
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
		tx.Put(&records[i], a.Entry(audit.UserImport, user.Name, changes.User(&before, &records[i])))
	}
	return records, nil
}
