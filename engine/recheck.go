package engine

import (
	"slices"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/verifier"
)

// Configured returns when the configuration was put in force.
func (s *Snapshot) Configured() time.Time { return s.configured }

// Rechecker returns a Checker that decides the denied request again, by this
// configuration and what the stores have now. It takes a bearer token of any text
// to be the credential of then, so it must get no request of a client. It counts
// nothing against a limit, and notifies no observer.
func (s *Snapshot) Rechecker(denied *authz.Decision) (*authz.Checker, error) {
	again, err := verifier.NewRecheck(verifier.RecheckConfig{
		Denied: denied, Keys: s.apiKey, Users: s.stores.userStore(), Passwords: s.cfg.Passwords,
		Revocations: s.stores.revoked(), HasUsers: s.issuerHasUsers,
	})
	if err != nil {
		return nil, err
	}
	rules := s.rules
	rules.Verifier = again
	rules.Sources = authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer)}
	return authz.NewChecker(rules)
}

// issuerHasUsers reports whether the subjects of the issuer's tokens are users on
// record.
func (s *Snapshot) issuerHasUsers(issuer string) bool {
	return slices.ContainsFunc(s.cfg.JWT, func(t config.JWT) bool { return t.Issuer == issuer && t.Users })
}
