package filestore

import (
	"context"
	"errors"
	"fmt"

	"keyward/store"
	"keyward/store/journal"
)

// Import implements store.UserWriter.
func (f *UserFile) Import(ctx context.Context, users []store.ImportedUser) ([]store.UserRecord, error) {
	if len(users) == 0 {
		return nil, nil
	}
	var records []store.UserRecord
	unfit := firstUnfit(users)
	var missing error
	if unfit != nil { // a missing file is not created
		missing = store.ErrNotFound
	}
	err := f.lines.Write(ctx, missing, func(t *journal.LineTransaction) error {
		all, err := f.all(t.Read, false)
		if err != nil {
			return err
		}
		now := f.now().UTC()
		records = nil // of an attempt whose file was replaced
		for _, user := range users {
			r, err := all.get(user.Name, now)
			if err == nil && r.Unsupported {
				err = store.ErrUnsupported
			}
			if err != nil {
				return atLine(user, err)
			}
			r.Password, r.At = user.Password, now
			records = append(records, r)
		}
		return appendUsers(t, records)
	})
	if unfit != nil && errors.Is(err, store.ErrNotFound) { // as in Set
		err = unfit
	}
	if err != nil {
		return nil, err
	}
	for i := range records {
		records[i].Password = ""
	}
	return records, nil
}

func atLine(user store.ImportedUser, err error) error {
	return fmt.Errorf("input line %d: %w", user.Line, err)
}

// firstUnfit is the error of the first name that no new user can have.
func firstUnfit(users []store.ImportedUser) error {
	for _, user := range users {
		if err := store.CheckUserName(user.Name); err != nil {
			return atLine(user, err)
		}
	}
	return nil
}
