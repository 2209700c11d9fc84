package projectpages

import (
	"keyward/config"
	"keyward/manage/console/page"
)

// home leads to the first page of the style: in that of halfred, for a member of one
// project, to it.
func (p pages) home(r *page.Request) error {
	first, err := r.Accounts().IsFirstLogin(r.Context(), r.Actor)
	switch {
	case err != nil:
		return err
	case first:
		return r.SeeOther("/welcome" + done(r))
	}
	path := r.Home(r.Actor)
	if r.Settings().Style == config.ConsoleHalfred && path == "/projects" {
		own, err := r.Service().OwnProjects(r.Context(), r.Actor)
		if err != nil {
			return err
		}
		if len(own) == 1 {
			path = pathOf(own[0].Name)
		}
	}
	return r.SeeOther(path + done(r))
}

// showWelcome asks a user to take what the first login gives, where the login itself
// could not show it: the password had to be changed before.
func (p pages) showWelcome(r *page.Request) error {
	first, err := r.Accounts().IsFirstLogin(r.Context(), r.Actor)
	if err != nil {
		return err
	}
	if !first {
		return r.SeeOther("/")
	}
	return r.Render(p.Templates, "welcome.html", page.Head{Title: "Welcome to " + r.Title()}, r.Accounts().FirstLogin.Key)
}

func (p pages) welcome(r *page.Request) error {
	shown, err := r.GiveFirst()
	if err != nil || shown {
		return err
	}
	return r.SeeOther("/")
}
