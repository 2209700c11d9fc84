package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
)

const (
	// touchEvery is how often the last use of a session is written.
	touchEvery = time.Minute
	// touchTimeout bounds how long a request waits for that.
	touchTimeout = time.Second
	// maxSessionsPerUser is how many sessions a user has. A further login ends the
	// one that was not used for longest.
	maxSessionsPerUser = 100
	sessionIDPrefix    = "s_"
)

// LoginMethod says how the user of a session logged in.
type LoginMethod string

// The ways to log in.
const (
	LoginPassword LoginMethod = "password"
	LoginOIDC     LoginMethod = "oidc"
)

// Session is a login of a user. It says nothing about what the user may do now,
// or whether the user still exists: the caller reads the user's record, and
// compares Login with the time since which the user's sessions count.
type Session struct {
	ID      string
	User    string
	Method  LoginMethod
	Roles   []string  // what the identity provider gave for this session only
	Address string    // of the client at login
	Login   time.Time // when the user proved who they are
	Seen    time.Time // the last use, up to a minute late
	Expires time.Time // unless it is used again
}

// Login describes a login that succeeded.
type Login struct {
	User    string
	Method  LoginMethod
	Roles   []string
	Address string
	// Replaces is the cookie that the client presented, if it did. Its session ends,
	// also if it is another user's: a cookie from before the login is worth nothing.
	Replaces authz.Secret
	// Proved is when the user proved who they are; zero is now. What ends the user's
	// sessions between then and now ends this one too.
	Proved time.Time
	// After is the time until which sessions of the user had ended by then: this one
	// begins later, also by a clock that has gone back since.
	After time.Time
}

// Sessions are those of one place to which users log in.
type Sessions struct {
	db        *DB
	table     string
	idle, max time.Duration
}

// Create stores a new session and returns it with its cookie. Logging in again,
// also to prove again who the user is, creates a new session.
func (s Sessions) Create(ctx context.Context, l Login) (Session, authz.Secret, error) {
	if l.User == "" || l.Method != LoginPassword && l.Method != LoginOIDC {
		return Session{}, authz.Secret{}, fmt.Errorf("creating a session: %w: no user, or unknown login method", ErrInvalid)
	}
	session, token, err := s.create(ctx, l, "")
	if err != nil {
		return Session{}, authz.Secret{}, fmt.Errorf("creating a session: %w", err)
	}
	return session, token, nil
}

// Renew replaces a session, whose user has just proved again who they are, by a new one
// with another cookie. The new one begins right after that time, which is that of the
// proof.
func (s Sessions) Renew(ctx context.Context, old Session, after time.Time) (Session, authz.Secret, error) {
	session, token, err := s.create(ctx, Login{User: old.User, Method: old.Method, Roles: old.Roles, Address: old.Address, Proved: after, After: after}, old.ID)
	if err != nil {
		return Session{}, authz.Secret{}, fmt.Errorf("renewing session %q: %w", old.ID, err)
	}
	return session, token, nil
}

// create stores a session in place of the one with the id replaced, if there is one.
func (s Sessions) create(ctx context.Context, l Login, replaced string) (Session, authz.Secret, error) {
	token, hash, err := newToken(s.db.rand)
	if err != nil {
		return Session{}, authz.Secret{}, err
	}
	id, err := randomNumber(s.db.rand)
	if err != nil {
		return Session{}, authz.Secret{}, err
	}
	roles, err := json.Marshal(l.Roles)
	if err != nil {
		return Session{}, authz.Secret{}, err
	}
	now := toTime(toMillis(s.db.now()))
	login := now
	if !l.Proved.IsZero() {
		login = toTime(toMillis(l.Proved))
	}
	if !login.After(l.After) {
		login = toTime(toMillis(l.After) + 1)
	}
	session := Session{ID: fmt.Sprintf("%s%016x", sessionIDPrefix, id), User: l.User, Method: l.Method, Roles: l.Roles, Address: l.Address, Login: login, Seen: now}
	session.Expires = s.end(session)
	// Synced, because the session that it replaces must not come back.
	err = s.db.write(ctx, powerCut, func(tx *transaction) error {
		presented, _ := hashToken(l.Replaces)
		if _, err := tx.exec(`DELETE FROM `+s.table+` WHERE hash = ?1 OR id = ?2`, presented, replaced); err != nil {
			return err
		}
		if _, err := tx.exec(`DELETE FROM `+s.table+` WHERE "user" = ?1 AND hash NOT IN
			(SELECT hash FROM `+s.table+` WHERE "user" = ?1 ORDER BY seen DESC LIMIT ?2)`, l.User, maxSessionsPerUser-1); err != nil {
			return err
		}
		_, err := tx.exec(`INSERT INTO `+s.table+` (hash, id, "user", login_method, roles, address, login, seen, expires)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`, hash, session.ID, l.User, string(l.Method), string(roles), l.Address,
			toMillis(login), toMillis(now), toMillis(session.Expires))
		return err
	})
	return session, token, err
}

// end returns when a session ends if it is not used again.
func (s Sessions) end(session Session) time.Time {
	idle, longest := session.Seen.Add(s.idle), session.Login.Add(s.max)
	if longest.Before(idle) {
		return longest
	}
	return idle
}

// selectWhere is a statement that scan reads a row of.
func (s Sessions) selectWhere(where string) string {
	return `SELECT id, "user", login_method, roles, address, login, seen, expires FROM ` + s.table + ` WHERE ` + where
}

// scan reads a row of selectWhere. A session of which the limits that apply now
// allow less than those at its last use ends earlier.
func (s Sessions) scan(row interface{ Scan(dest ...any) error }) (Session, error) {
	var session Session
	var roles []byte
	var login, seen, expires int64
	if err := row.Scan(&session.ID, &session.User, &session.Method, &roles, &session.Address, &login, &seen, &expires); err != nil {
		return Session{}, err
	}
	if json.Unmarshal(roles, &session.Roles) != nil {
		session.Roles = nil // one that cannot be read is listed and ended as any other, and may less
	}
	session.Login, session.Seen, session.Expires = toTime(login), toTime(seen), toTime(expires)
	if end := s.end(session); end.Before(session.Expires) {
		session.Expires = end
	}
	return session, nil
}

// read reads one session.
func (s Sessions) read(ctx context.Context, statement string, args ...any) (Session, error) {
	q, done := s.db.storage.reader(ctx)
	defer done()
	return s.scan(q.row(statement, args...))
}

// Find returns the session of a cookie. ErrNotFound means that the client is not
// logged in; any other error, that this is not known.
//
// Finding a session is a use of it. It is written once a minute, so that most
// requests only read.
func (s Sessions) Find(ctx context.Context, token authz.Secret) (Session, error) {
	hash, ok := hashToken(token)
	if !ok {
		return Session{}, fmt.Errorf("finding a session: %w", ErrNotFound)
	}
	now := s.db.now()
	session, err := s.read(ctx, s.selectWhere(`hash = ?1`), hash)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !now.Before(session.Expires) {
		err = ErrNotFound
	}
	if err != nil {
		return Session{}, fmt.Errorf("finding a session: %w", err)
	}
	if now.Sub(session.Seen) >= min(touchEvery, s.idle/10) {
		session.Seen = toTime(toMillis(now))
		session.Expires = s.end(session)
		s.touch(ctx, hash, session)
	}
	return session, nil
}

// Get returns the session of the user with that id. It is not a use of the session.
func (s Sessions) Get(ctx context.Context, user, id string) (Session, error) {
	session, err := s.read(ctx, s.selectWhere(`id = ?1 AND "user" = ?2`), id, user)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !s.db.now().Before(session.Expires) {
		err = ErrNotFound
	}
	if err != nil {
		return Session{}, fmt.Errorf("reading session %q: %w", id, err)
	}
	return session, nil
}

// Exists reports whether the user has a session with that id that has not ended. It is
// not a use of the session.
func (s Sessions) Exists(ctx context.Context, user, id string) (bool, error) {
	_, err := s.Get(ctx, user, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// touch writes the last use of a session that still exists. If it cannot, the
// session ends earlier than it would. The request goes on all the same: with a
// full disk an operator must still be able to revoke keys.
func (s Sessions) touch(ctx context.Context, hash []byte, session Session) {
	ctx, cancel := context.WithTimeout(ctx, touchTimeout)
	defer cancel()
	_, _ = s.db.changeOne(ctx, processExit, 0, `UPDATE `+s.table+` SET seen = ?2, expires = ?3 WHERE hash = ?1 AND seen < ?2`,
		hash, toMillis(session.Seen), toMillis(session.Expires))
}

// List returns a user's sessions, the one that was used last first.
func (s Sessions) List(ctx context.Context, user string) ([]Session, error) {
	sessions, err := s.list(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("listing the sessions of a user: %w", err)
	}
	return sessions, nil
}

func (s Sessions) list(ctx context.Context, user string) ([]Session, error) {
	q, done := s.db.storage.reader(ctx)
	defer done()
	rows, err := q.rows(s.selectWhere(`"user" = ?1 ORDER BY seen DESC, id LIMIT ?2`), user, maxSessionsPerUser)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has the error
	now := s.db.now()
	var sessions []Session
	for rows.Next() {
		session, err := s.scan(rows)
		if err != nil {
			return nil, err
		}
		if now.Before(session.Expires) {
			sessions = append(sessions, session)
		}
	}
	return sessions, rows.Err()
}

// End ends a session of this user. The session of another user is ErrNotFound.
func (s Sessions) End(ctx context.Context, entry int64, user, id string) error {
	n, err := s.db.changeOne(ctx, powerCut, entry, `DELETE FROM `+s.table+` WHERE id = ?1 AND "user" = ?2`, id, user)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("ending session %q: %w", id, err)
	}
	return nil
}

// EndUser ends all sessions of a user but the one with the id except, which may be
// empty, and returns how many.
func (s Sessions) EndUser(ctx context.Context, user, except string) (int, error) {
	n, err := s.db.changeOne(ctx, powerCut, 0, `DELETE FROM `+s.table+` WHERE "user" = ?1 AND (id = ?2) IS NOT TRUE`, user, except)
	if err != nil {
		return 0, fmt.Errorf("ending the sessions of a user: %w", err)
	}
	return n, nil
}

// Count returns the number of sessions that have not expired.
func (s Sessions) Count(ctx context.Context) (n int, err error) {
	q, done := s.db.storage.reader(ctx)
	defer done()
	err = q.row(`SELECT count(*) FROM `+s.table+` WHERE expires > ?1`, toMillis(s.db.now())).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting sessions: %w", err)
	}
	return n, nil
}
