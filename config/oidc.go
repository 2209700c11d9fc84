package config

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"keyward/config/strictyaml"

	"go.yaml.in/yaml/v3"
)

// OIDC configures the console's login with an OpenID provider.
type OIDC struct {
	Issuer           string // "": there is no such login
	Name             string // of the provider on the pages; "" is the host of Issuer
	ClientID         string
	ClientSecretFile string
	// UserClaim is the claim that has the user's name.
	UserClaim   string
	CreateUsers bool // of people who are not users yet
	// RolesClaim is the claim that has a person's roles, and Roles the managing scopes
	// that each gives.
	RolesClaim string
	Roles      map[string][]string
	Scopes     []string // that are asked for beside openid, email and profile
}

// freshLogin is how long a login counts as fresh. One with a provider begins when that
// is over, unless the person has just logged in to the provider.
const freshLogin = 15 * time.Minute

// managingScopes are those that a role can give.
var managingScopes = []string{"keyward:admin", "keyward:read", "keyward:keys", "keyward:users", "keyward:self"}

// Title is the provider's name on the pages; "" if there is no such login.
func (o *OIDC) Title() string {
	u, err := url.Parse(o.Issuer)
	if o.Name != "" && o.Issuer != "" || err != nil {
		return o.Name
	}
	return u.Host
}

func (d *decoder) oidc(v strictyaml.Value, c *Console) {
	o := &c.OIDC
	before := d.Count()
	d.Mapping(v, strictyaml.Fields{
		{"issuer", d.Checked(&o.Issuer, validIssuerURL)},
		{"name", d.Checked(&o.Name, validTitle)},
		{"client_id", d.Text(&o.ClientID)},
		{"client_secret_file", d.filename(&o.ClientSecretFile)},
		{"user_claim", d.Checked(&o.UserClaim, validClaimText)},
		{"create_users", d.Boolean(&o.CreateUsers)},
		{"roles_claim", d.Text(&o.RolesClaim)},
		{"roles", func(v strictyaml.Value) { d.roles(v, &o.Roles) }},
		{"scopes", d.List(&o.Scopes, validScope)},
	})
	if d.Count() > before || o.Issuer == "" {
		return
	}
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{o.ClientID == "" || o.ClientSecretFile == "", "client_id and client_secret_file are needed"},
		{c.PublicURL == "", "console.public_url is needed: the provider sends browsers back there"},
		{(o.RolesClaim == "") != (len(o.Roles) == 0), "roles_claim and roles go together"},
		{c.Session.Max <= freshLogin, "console.session.max must be longer than 15m: a login with the provider begins that much earlier, unless the person has just logged in to the provider"},
	} {
		if rule.broken {
			d.Report(v.Line, "%s: %s", v.Name, rule.text)
		}
	}
}

// roles reads a mapping from roles to lists of managing scopes.
func (d *decoder) roles(v strictyaml.Value, to *map[string][]string) {
	if v.Kind != yaml.MappingNode {
		d.Wrong(v, "a mapping ({} for an empty one)")
		return
	}
	*to = map[string][]string{}
	for key, node := range strictyaml.Pairs(v.Node) {
		var scopes []string
		d.List(&scopes, validManagingScope)(strictyaml.Value{Node: node, Name: v.Name})
		if len(scopes) == 0 {
			d.Report(key.Line, "%s: a role gives at least one scope", v.Name)
		}
		(*to)[key.Value] = scopes
	}
}

func validManagingScope(text string) error {
	if slices.Contains(managingScopes, text) {
		return nil
	}
	return errors.New("want one of " + strings.Join(managingScopes, ", "))
}

// validIssuerURL accepts a URL whose discovery document can be read over TLS, or on this
// machine.
func validIssuerURL(text string) error {
	u, err := url.Parse(text)
	if text == "" {
		return nil
	}
	if err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && isLocal(net.JoinHostPort(u.Hostname(), "0"))) {
		return nil
	}
	return errors.New("want an https URL without user, query and fragment, or an http URL of this machine")
}
