package verifier

import (
	"context"
	"time"

	"keyward/authz"
	"keyward/verifier/login"
)

// Basic verifies users' passwords given with the Basic scheme (RFC 7617).
type Basic struct{ users *login.Authenticator }

// NewBasic returns a verifier of the users that the Authenticator knows.
func NewBasic(users *login.Authenticator) *Basic { return &Basic{users} }

// Logins returns what authenticates the users, for callers that have their passwords in
// another way.
func (b *Basic) Logins() *login.Authenticator { return b.users }

// Verify implements authz.Verifier.
func (b *Basic) Verify(ctx context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	if c.Scheme != authz.SchemeBasic {
		return nil, authz.ErrNotMine
	}
	account, err := b.users.Authenticate(ctx, login.Attempt{User: c.User, Password: c.Secret, Client: c.Client}, now)
	return account.Principal, err
}
