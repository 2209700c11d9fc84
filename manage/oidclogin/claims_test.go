package oidclogin

import (
	"reflect"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

const (
	noName     = "can be a name"
	unverified = "does not say that the email address is verified"
)

// TestNames is the policy: which claims name the user.
func TestNames(t *testing.T) {
	for name, c := range map[string]struct {
		claim  string
		change func(jwt.MapClaims)
		user   string
		why    string // there is none
	}{
		"the sub":                 {"", claim(), "sub-alice", ""},
		"a name":                  {"preferred_username", claim(), "alice", ""},
		"an email":                {"email", claim(), "alice@example.com", ""},
		"not verified":            {"email", claim("email_verified", false), "", unverified},
		"verified is not there":   {"email", claim("email_verified", nil), "", unverified},
		"verified as text":        {"email", claim("email_verified", "true"), "", unverified},
		"verified as a number":    {"email", claim("email_verified", 1), "", unverified},
		"verified as null":        {"email", claim("email_verified", (*int)(nil)), "", unverified},
		"another claim in place":  {"preferred_username", claim("email_verified", false), "alice", ""},
		"no name":                 {"preferred_username", claim("preferred_username", nil), "", noName},
		"an empty name":           {"preferred_username", claim("preferred_username", ""), "", noName},
		"a number as a name":      {"preferred_username", claim("preferred_username", 17), "", noName},
		"a list as a name":        {"preferred_username", claim("preferred_username", []string{"alice"}), "", noName},
		"an object as a name":     {"preferred_username", claim("preferred_username", map[string]any{"name": "alice"}), "", noName},
		"a list as an email":      {"email", claim("email", []string{"alice@example.com"}), "", noName},
		"two lines":               {"preferred_username", claim("preferred_username", "alice\nroot"), "", noName},
		"a long name":             {"preferred_username", claim("preferred_username", strings.Repeat("a", 256)), "", noName},
		"a claim of the provider": {"https://example.com/user", claim("https://example.com/user", "alice"), "alice", ""},
	} {
		f := newFixture(t, func(cfg *Config) { cfg.UserClaim = c.claim })
		f.idp.Claims = c.change
		got, err := f.login(Options{})
		f.want(name, err, nil, "")
		if got.User != c.user || (got.Nameless == "") != (c.why == "") || !strings.Contains(got.Nameless, c.why) || got.Subject != "sub-alice" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestRoles is the policy: which managing scopes the provider's roles give.
func TestRoles(t *testing.T) {
	for name, c := range map[string]struct {
		groups any
		want   []string
		text   string // of the error
	}{
		"one of two":      {[]string{"admins", "staff"}, []string{"keyward:admin"}, ""},
		"two":             {[]string{"helpers", "admins"}, []string{"keyward:admin", "keyward:keys", "keyward:read"}, ""},
		"twice":           {[]string{"admins", "admins"}, []string{"keyward:admin"}, ""},
		"one as text":     {"admins", []string{"keyward:admin"}, ""},
		"in another case": {[]string{"Admins"}, nil, ""},
		"scopes as roles": {[]string{"keyward:admin"}, nil, ""},
		"texts in one":    {"admins helpers", nil, ""},
		"none":            {[]string{}, nil, ""},
		"null":            {(*int)(nil), nil, ""},
		"not there":       {nil, nil, ""},
		"a number":        {1, nil, "not a list of texts"},
		"an object":       {map[string]any{"admins": true}, nil, "not a list of texts"},
		"a list of lists": {[]any{[]string{"admins"}}, nil, "not a list of texts"},
		"one that is not": {[]any{"admins", 1}, nil, "not a list of texts"},
	} {
		f := newFixture(t, withRoles)
		f.idp.Claims = claim("groups", c.groups)
		got, err := f.login(Options{})
		if c.text != "" {
			f.want(name, err, ErrRefused, c.text)
		} else {
			f.want(name, err, nil, "")
		}
		if !reflect.DeepEqual(got.Roles, c.want) {
			t.Errorf("%s: %q", name, got.Roles)
		}
	}
	f := newFixture(t)
	if got, err := f.login(Options{}); err != nil || got.Roles != nil {
		t.Errorf("no roles configured: %+v, %v", got, err)
	}
}

func withRoles(cfg *Config) {
	cfg.RolesClaim, cfg.Scopes = "groups", []string{"groups", "email"}
	cfg.Roles = map[string][]string{"admins": {"keyward:admin"}, "helpers": {"keyward:keys", "keyward:read"}}
}

// TestUserInfo: claims that the ID token lacks are read from the UserInfo endpoint, if
// it speaks of the same person.
func TestUserInfo(t *testing.T) {
	alice := map[string]any{"sub": "sub-alice", "email": "info@example.com", "email_verified": true, "groups": []string{"helpers"}}
	for name, c := range map[string]struct {
		change   func(jwt.MapClaims)
		info     map[string]any
		sentinel error
		text     string
		user     string
		roles    []string
		asked    int64
	}{
		"nothing lacks":          {claim(), alice, nil, "", "alice@example.com", []string{"keyward:admin"}, 0},
		"all":                    {claim("email", nil, "email_verified", nil, "groups", nil), alice, nil, "", "info@example.com", []string{"keyward:keys", "keyward:read"}, 1},
		"the roles":              {claim("groups", nil), alice, nil, "", "alice@example.com", []string{"keyward:keys", "keyward:read"}, 1},
		"whether it is verified": {claim("email_verified", nil), alice, nil, "", "info@example.com", []string{"keyward:admin"}, 1},
		"not verified there":     {claim("email_verified", nil), map[string]any{"sub": "sub-alice", "email_verified": true}, nil, "", "", []string{"keyward:admin"}, 1},
		"another person":         {claim("email", nil), map[string]any{"sub": "sub-root", "email": "root@example.com", "email_verified": true}, ErrRefused, "another person", "", nil, 1},
		"no person":              {claim("email", nil), map[string]any{"email": "root@example.com", "email_verified": true}, ErrRefused, "another person", "", nil, 1},
	} {
		f := newFixture(t, withRoles, func(cfg *Config) { cfg.UserClaim = "email" })
		f.idp.Metadata = with("userinfo_endpoint", f.idp.URL+"/userinfo")
		f.idp.Claims, f.idp.UserInfo = c.change, c.info
		got, err := f.login(Options{})
		f.want(name, err, c.sentinel, c.text)
		if got.User != c.user || !reflect.DeepEqual(got.Roles, c.roles) || f.idp.Requests["/userinfo"].Load() != c.asked {
			t.Errorf("%s: %+v", name, got)
		}
		if scope := f.idp.Asked.Get("scope"); scope != "openid email profile groups" {
			t.Errorf("scope %q", scope)
		}
	}
}
