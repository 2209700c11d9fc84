package store

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Page is a part of a list. The zero Page is the entire list.
type Page struct {
	After       Cursor // "": from the beginning
	Limit       int    // 0: to the end
	NewestFirst bool
}

// Cursor is where a page ended. It stays good while the list grows.
type Cursor string

// KeyFilter selects keys that have all that is not zero.
type KeyFilter struct {
	User, Project string
	Text          string // in the name, or the entire id or hint
}

// Match reports whether the filter selects the key.
func (f *KeyFilter) Match(r *KeyRecord) bool {
	return (f.User == "" || f.User == r.User) && (f.Project == "" || f.Project == r.Project) &&
		(f.Text == "" || f.Text == r.ID || f.Text == r.Hint || strings.Contains(r.Name, f.Text))
}

// UserFilter selects users that have all that is not zero.
type UserFilter struct {
	Text string // in the name
}

// Match reports whether the filter selects the user.
func (f *UserFilter) Match(r *UserRecord) bool { return strings.Contains(r.Name, f.Text) }

// RevocationFilter selects revocations that have all that is not zero.
type RevocationFilter struct{ Subject string }

// Match reports whether the filter selects the revocation.
func (f *RevocationFilter) Match(r *Revocation) bool {
	return f.Subject == "" || f.Subject == r.Subject
}

// Position is where a record is in a list: by when it was made, and among those
// made then by the order that the store has them in.
type Position struct {
	Made time.Time
	ID   string
}

// Paginate returns a page of records that are in the order in which the store
// has them. Those that match refuses have a position too: a page may end with a
// record that is deleted before the next one is read.
func Paginate[R any](all []R, at func(*R) Position, match func(*R) bool, p Page) ([]R, Cursor, error) {
	if p.Limit < 0 {
		return nil, "", fmt.Errorf("%w: a limit below zero", ErrInvalid)
	}
	slices.SortStableFunc(all, func(a, b R) int { return at(&a).Made.Compare(at(&b).Made) })
	if p.NewestFirst {
		slices.Reverse(all)
	}
	from, err := behind(all, at, p)
	if err != nil {
		return nil, "", err
	}
	var page []R
	for i := from; i < len(all); i++ {
		if !match(&all[i]) {
			continue
		}
		if p.Limit > 0 && len(page) == p.Limit {
			return page, cursorOf(at(&page[len(page)-1])), nil
		}
		page = append(page, all[i])
	}
	return page, "", nil
}

func cursorOf(at Position) Cursor {
	return Cursor(base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %s", at.Made.Unix(), at.Made.Nanosecond(), at.ID)))
}

var errCursor = fmt.Errorf("%w: not a cursor of this list", ErrInvalid)

// position is where the page ended.
func (c Cursor) position() (Position, error) {
	text, err := base64.RawURLEncoding.DecodeString(string(c))
	parts := strings.SplitN(string(text), " ", 3)
	if err != nil || len(parts) != 3 {
		return Position{}, errCursor
	}
	seconds, errSeconds := strconv.ParseInt(parts[0], 10, 64)
	nanos, errNanos := strconv.ParseInt(parts[1], 10, 32)
	if errSeconds != nil || errNanos != nil || nanos < 0 || nanos >= int64(time.Second) {
		return Position{}, errCursor
	}
	return Position{time.Unix(seconds, nanos), parts[2]}, nil
}

// behind returns the index of the first record behind the cursor. If the record
// that it names is gone, those made at the same time come again.
func behind[R any](all []R, at func(*R) Position, p Page) (int, error) {
	if p.After == "" {
		return 0, nil
	}
	end, err := p.After.position()
	if err != nil {
		return 0, err
	}
	// The last of those that are equal: a page that began behind the first would
	// end with the same record again.
	for i, r := range slices.Backward(all) {
		if at(&r).ID == end.ID && at(&r).Made.Equal(end.Made) {
			return i + 1, nil
		}
	}
	for i := range all {
		if c := at(&all[i]).Made.Compare(end.Made); c == 0 || (c < 0) == p.NewestFirst {
			return i, nil
		}
	}
	return len(all), nil
}
