package account

import (
	"strings"
	"testing"
	"time"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
)

// TestMatrix tries every request as every actor, as the matrix of package manage does:
// + is done, f forbidden, b beyond_caller, n not_found, r reauthenticate.
//
// The actors: sessions of an administrator, of a user who may change users under /api,
// and of a plain user; an administrator's session that is an hour old, and one that must
// change the password; keys of an administrator, of that user, with keyward:self, and
// without managing scopes; the session of a disabled user; an operator.
func TestMatrix(t *testing.T) {
	const matrix = `
request                  | admin  users  plain  old    change adminkey userskey self   plainkey disabled operator
link for another         | +      b      f      r      f      +        b        f      f        f        +
link for a bounded user  | +      +      f      r      f      +        +        f      f        f        +
link for an admin        | +      f      f      r      f      +        f        f      f        f        +
link for the first admin | f      f      f      f      f      f        f        f      f        f        c
change own password      | +      +      +      +      +      f        f        f      f        f        f
read own sessions        | +      +      +      +      f      +        f        +      f        f        f
end own session          | +      +      +      +      f      +        f        +      f        f        f
end this session         | +      +      +      +      +      n        f        n      f        f        f
end another's session    | n      n      n      n      f      n        f        n      f        f        f
`
	codes := map[string]fault.Code{
		"+": "", "f": fault.Forbidden, "b": fault.BeyondCaller, "n": fault.NotFound, "r": fault.Reauthenticate, "c": fault.Conflict,
	}
	var actors []string
	for line := range strings.SplitSeq(strings.TrimSpace(matrix), "\n") {
		request, rest, _ := strings.Cut(line, "|")
		cells := strings.Fields(rest)
		if actors == nil {
			actors = cells
			continue
		}
		for i, actor := range actors {
			t.Run(strings.TrimSpace(request)+"/"+actor, func(t *testing.T) {
				f := newFixture(t)
				a := f.column(actor)
				before := len(f.entries())
				f.want("", requests[strings.TrimSpace(request)](f, a), codes[cells[i]])
				if outcome := map[bool]audit.Outcome{true: audit.Done, false: audit.Refused}[cells[i] == "+"]; cells[i] != "c" && !f.hasEntry(a, outcome, before) && a.Known() && !(cells[i] == "+" && strings.HasPrefix(request, "read")) {
					t.Errorf("no entry: %+v", f.entries()[before:])
				}
			})
		}
	}
}

func (f *fixture) hasEntry(a access.Actor, outcome audit.Outcome, before int) bool {
	for _, e := range f.entries()[before:] {
		if e.Actor == a.Name() && e.Outcome == outcome {
			return true
		}
	}
	return false
}

// column makes the actor of a column.
func (f *fixture) column(name string) access.Actor {
	f.Helper()
	f.user("root", access.ScopeAdmin)
	f.user("root2", access.ScopeAdmin)
	f.user("other", "read")
	_, err := f.Records.CreateUser(f.Context(), f.admin, manage.UserInput{Name: "narrow", Scopes: []string{"read"}, Paths: []string{"/api/v1"}})
	f.want("a bounded user", err, "")
	f.user("plain", "read")
	f.user("ops", access.ScopeUsers, "read")
	f.want("bounds", f.patch("ops", manage.UserPatch{Paths: &[]string{"/api"}}), "")
	bySession := func(user string) access.Actor {
		a, _ := f.login(user)
		return a
	}
	switch name {
	case "admin":
		return bySession("root")
	case "users":
		return bySession("ops")
	case "plain":
		return bySession("plain")
	case "old":
		r := f.record("root")
		session, _, err := f.State.Sessions.Create(f.Context(), state.Login{User: "root", Method: state.LoginPassword, After: r.SessionsFrom()})
		f.want("a session", err, "")
		f.pass(16 * time.Minute)
		return access.SessionActor(&r, sessionOf(&session), testCall)
	case "change":
		f.want("must change", f.patch("root", manage.UserPatch{MustChange: new(true)}), "")
		return bySession("root")
	case "adminkey":
		return f.key("root", access.ScopeAdmin)
	case "userskey":
		return f.key("ops", access.ScopeUsers, "read")
	case "self":
		return f.key("plain", access.ScopeSelf)
	case "plainkey":
		return f.key("plain", "read")
	case "disabled":
		_, cookie := f.login("plain")
		f.want("disabled", f.patch("plain", manage.UserPatch{Disabled: new(true)}), "")
		return f.actor(cookie)
	default:
		return f.admin
	}
}

// requests are the rows.
var requests = map[string]func(f *fixture, a access.Actor) error{
	"link for another":        func(f *fixture, a access.Actor) error { return f.tryLink(a, "other") },
	"link for a bounded user": func(f *fixture, a access.Actor) error { return f.tryLink(a, "narrow") },
	"link for an admin":       func(f *fixture, a access.Actor) error { return f.tryLink(a, "root2") },
	"link for the first admin": func(f *fixture, a access.Actor) error {
		_, _, err := f.CreateSetupLink(f.Context(), a)
		return err
	},
	"change own password": func(f *fixture, a access.Actor) error {
		_, err := f.ChangePassword(f.Context(), a, correct, newPassword)
		return err
	},
	"read own sessions": func(f *fixture, a access.Actor) error {
		_, _, err := f.Sessions(f.Context(), a, store.Page{Limit: 1})
		return err
	},
	"end own session":       func(f *fixture, a access.Actor) error { return f.tryEnd(a, a.User()) },
	"end another's session": func(f *fixture, a access.Actor) error { return f.tryEnd(a, "other") },
	"end this session":      func(f *fixture, a access.Actor) error { return f.EndSession(f.Context(), a, a.Session()) },
}

// tryLink makes a link for the user; one that is refused ends no link before it.
func (f *fixture) tryLink(a access.Actor, name string) error {
	f.Helper()
	before := f.link(name)
	token, _, err := f.CreatePasswordLink(f.Context(), a, manage.UserRef{Name: name})
	if token.Empty() != (err != nil) {
		f.Errorf("%v, and a token: %t", err, !token.Empty())
	}
	if _, dead := f.Link(f.Context(), state.PurposePassword, before); (dead != nil) != (err == nil) {
		f.Errorf("%v, and the link before: %v", err, dead)
	}
	return err
}

// tryEnd ends a session of the user; one that is not ended stays.
func (f *fixture) tryEnd(a access.Actor, user string) error {
	f.Helper()
	if user == "" {
		user = "root"
	}
	session, cookie, err := f.State.Sessions.Create(f.Context(), state.Login{User: user, Method: state.LoginPassword})
	f.want("a session", err, "")
	err = f.EndSession(f.Context(), a, session.ID)
	if _, ended := f.State.Sessions.Find(f.Context(), cookie); (ended == nil) != (err != nil) {
		f.Errorf("%v, and the session: %v", err, ended)
	}
	return err
}
