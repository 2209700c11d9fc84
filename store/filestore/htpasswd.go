package filestore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"keyward/passwordhash"
	"keyward/store"
	"keyward/store/journal"
)

// ImportHtpasswd takes over names and bcrypt hashes from an htpasswd file, in
// one step. Of users who are there already only the password changes. Other
// hashes than bcrypt, and names that no new user can have, are refused by line
// number. A byte order mark at the start is left out.
func (f *UserFile) ImportHtpasswd(in io.Reader) ([]store.UserRecord, error) {
	given, order, err := readHtpasswd(in)
	if err != nil || len(order) == 0 {
		return nil, err
	}
	var records []store.UserRecord
	unfit := firstUnfit(order)
	var missing error
	if unfit != nil { // a missing file is not created
		missing = store.ErrNotFound
	}
	err = f.lines.Write(missing, func(t *journal.LineTransaction) error {
		all, err := f.all(t.Read, false)
		if err != nil {
			return err
		}
		now := f.now().UTC()
		records = nil // of an attempt whose file was replaced
		for _, user := range order {
			r, err := all.get(user.name, now)
			if err != nil {
				return user.refused(err)
			}
			r.Password, r.At = given[user.name], now
			records = append(records, r)
		}
		return appendUsers(t, records)
	})
	if unfit != nil && errors.Is(err, store.ErrNotFound) { // as in SetUser
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

// namedOnLine is a user's name and the input line on which it stands.
type namedOnLine struct {
	name string
	line int
}

func (n namedOnLine) refused(err error) error { return fmt.Errorf("input line %d: %w", n.line, err) }

// firstUnfit is the error of the first name that no new user can have.
func firstUnfit(names []namedOnLine) error {
	for _, n := range names {
		if err := store.CheckUserName(n.name); err != nil {
			return n.refused(err)
		}
	}
	return nil
}

func readHtpasswd(in io.Reader) (given map[string]string, order []namedOnLine, err error) {
	given = map[string]string{}
	scan := bufio.NewScanner(withoutMark(in))
	for number := 1; scan.Scan(); number++ {
		line := scan.Bytes()
		if blank := bytes.TrimSpace(line); len(blank) == 0 || blank[0] == '#' {
			continue
		}
		name, hash, found := strings.Cut(strings.TrimRight(string(line), " \t"), ":")
		switch {
		case !found || !store.ValidUserName(name):
			return nil, nil, fmt.Errorf("input line %d: %w: not NAME:HASH", number, store.ErrInvalid)
		case !passwordhash.ValidBcrypt(hash):
			return nil, nil, fmt.Errorf("input line %d: %w: only bcrypt hashes of a cost up to %d are taken over", number, store.ErrInvalid, passwordhash.MaxBcryptCost)
		}
		if _, twice := given[name]; twice {
			return nil, nil, fmt.Errorf("input line %d: this user: %w", number, store.ErrDuplicate)
		}
		given[name] = hash
		order = append(order, namedOnLine{name, number})
	}
	if err := scan.Err(); err != nil {
		return nil, nil, fmt.Errorf("reading users: %w", err)
	}
	return given, order, nil
}
