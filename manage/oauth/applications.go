package oauth

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"keyward/manage/access"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// Application is a client that has access on behalf of a user.
type Application struct {
	ID, Name string
	Scopes   []string  // that the user has allowed, at any time
	Since    time.Time // when the user allowed it first, as far as that is known
	Until    time.Time // when its latest token ends; zero: it has none
}

// Applications returns the clients that the actor's user has allowed something, by name: those
// whose consent is remembered, and those that have tokens. What an earlier user of the name has
// allowed is not among them, nor are tokens that ended with the user's.
func (s *Service) Applications(ctx context.Context, a access.Actor) ([]Application, error) {
	user, err := s.Records.Users.Get(ctx, a.User())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, unavailable(err)
	}
	consents, err := s.Consents.List(ctx, a.User())
	if err != nil {
		return nil, unavailable(err)
	}
	grants, err := s.Grants.List(ctx, a.User())
	if err != nil {
		return nil, unavailable(err)
	}
	byID := map[string]*Application{}
	application := func(id string, since time.Time, scopes []string) *Application {
		found := byID[id]
		if found == nil {
			found = &Application{ID: id, Name: id, Since: since}
			byID[id] = found
		}
		if since.Before(found.Since) {
			found.Since = since
		}
		for _, scope := range scopes {
			if !slices.Contains(found.Scopes, scope) {
				found.Scopes = append(found.Scopes, scope)
			}
		}
		return found
	}
	for _, c := range consents {
		if givenBy(&c, &user) {
			application(c.Client, c.Given, c.Scopes)
		}
	}
	for _, g := range grants {
		if g.Client != oauth.LoginClient && g.Gen == user.Gen {
			found := application(g.Client, g.Began, g.Scopes)
			found.Until = store.Latest(found.Until, g.Expires)
		}
	}
	return s.named(ctx, byID)
}

// named returns the applications with their names, without those of clients that are gone.
func (s *Service) named(ctx context.Context, byID map[string]*Application) ([]Application, error) {
	var all []Application
	for id, application := range byID {
		client, err := s.Records.ClientReader.Get(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound) || err == nil && !client.Deleted.IsZero():
			continue
		case err != nil:
			return nil, unavailable(err)
		}
		application.Name = client.Name
		all = append(all, *application)
	}
	slices.SortFunc(all, func(a, b Application) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// Withdraw ends what the actor has allowed a client: the consent, and all tokens that came
// of it. The tokens are listed after the consent has ended, so that those of a request that
// had just found it are among them.
func (s *Service) Withdraw(ctx context.Context, a access.Actor, client string) error {
	if !store.ValidClientID(client) {
		return errNoClient
	}
	err := s.record(ctx, a, audit.ConsentWithdraw, client, func(seq int64) error { return s.Consents.Withdraw(ctx, seq, a.User(), client) })
	if err != nil {
		return err
	}
	grants, err := s.Grants.List(ctx, a.User())
	if err != nil {
		return unavailable(err)
	}
	for i := range grants {
		if grants[i].Client != client {
			continue
		}
		if err := s.end(ctx, a.Call(), &grants[i], "The user has withdrawn the consent"); err != nil {
			return err
		}
	}
	return nil
}
