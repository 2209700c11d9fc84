package login

import (
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/cache"
	"keyward/keyindex"
)

// CachedAccount is an account whose password was right. It is valid as long as
// the user is not stale, and beyond that while the stored hash stays the
// same.
type CachedAccount struct {
	account Account
	since   time.Time
}

// WrongPassword is the stored hash that a password does not match, empty if the
// user has none. It is valid while the user has that hash.
type WrongPassword struct{ hash authz.Secret }

func newEntry(user *keyindex.User, now time.Time) CachedAccount {
	return CachedAccount{since: now, account: Account{User: user, Principal: PrincipalOf(user)}}
}

// PrincipalOf returns the principal of the user whose password was right.
func PrincipalOf(user *keyindex.User) *authz.Principal {
	return &authz.Principal{
		AuthMethod: authz.AuthMethodBasic, User: user.Name,
		Scopes: user.Scopes, Paths: urlpath.Any(), UserPaths: user.Paths,
	}
}

// result returns the account, or an error if the user is disabled. The client
// learns that the user is disabled only after the right password.
func (e *CachedAccount) result() (Account, error) {
	if e.account.User.Disabled {
		return Account{}, &authz.CredentialError{Reason: authz.DisabledUser, Principal: e.account.Principal}
	}
	return e.account, nil
}

// cached returns the cached account, if it is valid or can be refreshed.
func (a *Authenticator) cached(id *cache.Key, now time.Time) (CachedAccount, bool) {
	entry, ok := a.cfg.Accounts.Get(id, now)
	if !ok {
		return CachedAccount{}, false
	}
	return a.refresh(id, entry, now)
}

// refresh brings the entry up to date with the store. That is impossible if the
// user is gone or has another hash: then the password must be verified again.
func (a *Authenticator) refresh(id *cache.Key, entry CachedAccount, now time.Time) (CachedAccount, bool) {
	if !entry.account.User.Stale() {
		if a.cfg.RenewAfter > 0 && now.Sub(entry.since) >= a.cfg.RenewAfter {
			entry.since = now
			a.cfg.Accounts.Put(id, entry, now)
		}
		return entry, true
	}
	user, found := a.cfg.Users.Lookup(entry.account.User.Name)
	if !found || user.Password != entry.account.User.Password {
		return CachedAccount{}, false
	}
	entry = newEntry(user, now)
	a.cfg.Accounts.Put(id, entry, now)
	return entry, true
}

// knownWrong reports whether the password was wrong a moment ago and the user's
// stored hash is unchanged.
func (a *Authenticator) knownWrong(id *cache.Key, name string, now time.Time) bool {
	wrong, ok := a.cfg.Wrong.Get(id, now)
	if !ok {
		return false
	}
	hash := authz.Secret{}
	if user, found := a.cfg.Users.Lookup(name); found {
		hash = user.Password
	}
	return hash == wrong.hash
}
