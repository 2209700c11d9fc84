package account

import (
	"context"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
)

// FirstLogin is what a user gets at the first login: a project of its own, a key. Only a
// user does that may not manage, and who never had a key.
type FirstLogin struct{ Project, Key bool }

// First is what a user got at the first login. Its key is zero if it got none.
type First struct {
	Project string // its name; "" if it got none
	Key     store.KeyRecord
	Secret  authz.Secret
}

// IsFirstLogin reports whether the actor gets something by GiveFirst. It changes nothing.
func (s *Service) IsFirstLogin(ctx context.Context, a access.Actor) (bool, error) {
	if !(s.FirstLogin.Project || s.FirstLogin.Key) || a.Session() == "" || a.MustChange() || a.Has(access.Read|access.Keys|access.Users) {
		return false, nil
	}
	user, err := s.Records.Users.Get(ctx, a.User())
	if err != nil || len(access.Managing(user.Scopes)) > 0 {
		return false, fault.Of(err)
	}
	if had, err := s.Records.HadKeys(ctx, a); had || err != nil {
		return false, err
	}
	if s.FirstLogin.Key {
		return true, nil
	}
	own, err := s.Records.OwnProjects(ctx, a)
	return len(own) == 0, err
}

// GiveFirst gives the actor what a user gets at the first login: nothing at any other.
// Two logins at once give it once.
func (s *Service) GiveFirst(ctx context.Context, a access.Actor, format apikey.Format, prefix string) (First, error) {
	due, err := s.IsFirstLogin(ctx, a)
	if err != nil || !due {
		return First{}, err
	}
	var given First
	if s.FirstLogin.Project {
		project, err := s.Records.DefaultProject(ctx, a)
		if err != nil {
			return First{}, err
		}
		given.Project = project.Name
	}
	if !s.FirstLogin.Key {
		return given, nil
	}
	given.Key, given.Secret, err = s.Records.CreateFirstKey(ctx, a, store.KeyParams{
		Name: "Default key", User: a.User(), Project: given.Project, Format: format, Prefix: prefix,
	})
	if err != nil && fault.CodeOf(err) == fault.Conflict {
		return First{}, nil // another login was the first
	}
	return given, err
}
