package registry

import (
	"context"
	"io"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// secretPrefix is that of clients' secrets: by it a scanner of source code finds one
// that was published.
const secretPrefix = "kwcs_"

// ClientConfig is what Clients are made of.
type ClientConfig struct {
	Steps
	Records[store.Client, store.ClientFilter]
	Hasher *apikey.Hasher // of secrets
	Rand   io.Reader
}

// Clients creates, shows, changes and ends OAuth clients.
type Clients struct {
	records records[store.Client, store.ClientFilter]
	hasher  *apikey.Hasher
	rand    io.Reader
}

// NewClients returns Clients over their store.
func NewClients(cfg ClientConfig) *Clients {
	return &Clients{
		records: records[store.Client, store.ClientFilter]{
			Steps: cfg.Steps, Records: cfg.Records, kind: "clients",
			seq:   func(r *store.Client) int64 { return r.Seq },
			shown: []string{"name", "redirect_uris", "scopes", "grants", "public", "disabled", "rotated", "deleted"},
		},
		hasher: cfg.Hasher, rand: cfg.Rand,
	}
}

// ClientInput is what a new client is to be.
type ClientInput struct {
	ID           string // "": a random one
	Name         string
	RedirectURIs []string
	Scopes       []string // the most that its tokens may have; none: no scope
	Grants       []oauth.Grant
	Public       bool // it cannot keep a secret, and gets none
	Disabled     bool
}

// ClientRef names a client that is to be changed.
type ClientRef struct {
	ID      string
	IfMatch store.Version // [store.AnyVersion] for any
}

// ClientPatch is what is to change of a client; nil is what is to stay. Whether a client
// is public does not change.
type ClientPatch struct {
	Name         *string
	RedirectURIs *[]string
	Scopes       *[]string
	Grants       *[]oauth.Grant
	Disabled     *bool
}

// ClientID returns the id of a client that has the characters of a key's id.
func ClientID(keyID string) string {
	return store.ClientIDPrefix + strings.TrimPrefix(keyID, apikey.IDPrefix)
}

// CreateClient makes a client. The secret is in the answer alone; a public client has
// none. It needs keyward:admin.
func (cs *Clients) CreateClient(ctx context.Context, a access.Actor, in ClientInput) (store.Client, authz.Secret, error) {
	r := store.Client{
		ID: in.ID, Name: in.Name, RedirectURIs: in.RedirectURIs, Scopes: in.Scopes, Grants: in.Grants, Public: in.Public, Disabled: in.Disabled,
		CreatedBy: a.Creator(),
	}
	if r.ID == "" {
		random, err := apikey.NewID(cs.rand)
		if err != nil {
			return store.Client{}, authz.Secret{}, fault.Of(err)
		}
		r.ID = ClientID(random.String())
	}
	c := cs.records.byAdmin(a, audit.ClientCreate, r.ID, store.AnyVersion)
	if c.refused == nil && !r.Public {
		c.refused = cs.records.MayMakeSecret(a)
	}
	if c.refused == nil {
		c.refused = checkClient(&r)
	}
	var secret authz.Secret
	made, err := cs.records.create(ctx, a, c, func(now time.Time) (_ store.Client, err error) {
		r.Created, r.At = now, now
		if !r.Public {
			secret, err = cs.newSecret(&r)
		}
		return r, err
	})
	if err != nil {
		return store.Client{}, authz.Secret{}, err
	}
	return made, secret, nil
}

// UpdateClient changes a client. It needs keyward:admin. To disable a client ends its
// tokens.
func (cs *Clients) UpdateClient(ctx context.Context, a access.Actor, ref ClientRef, patch ClientPatch) (store.Client, error) {
	c := cs.records.byAdmin(a, patch.action(), ref.ID, ref.IfMatch)
	return changeRecord(ctx, &cs.records, a, c, func(r *store.Client, now time.Time) error {
		if !c.action.Ends() {
			if r.Unsupported {
				return store.ErrUnsupported
			}
			patch.apply(r)
			if err := checkClient(r); err != nil {
				return err
			}
		}
		if patch.Disabled != nil && *patch.Disabled != r.Disabled {
			r.Disabled, r.Ending = *patch.Disabled, nil
			if r.Disabled {
				r.EndTokens()
				r.Ending = a.Act("")
			}
		}
		r.At = now
		return nil
	})
}

// RotateClient gives the client a new secret, which is in the answer alone. The one
// before stays valid for the grace, and earlier ones for what is left of theirs; without
// a grace all of them end, and the client's tokens too. It needs keyward:admin.
func (cs *Clients) RotateClient(ctx context.Context, a access.Actor, ref ClientRef, grace time.Duration) (store.Client, authz.Secret, error) {
	c := cs.records.byAdmin(a, audit.ClientRotate, ref.ID, ref.IfMatch)
	if c.refused == nil {
		c.refused = cs.records.MayMakeSecret(a)
	}
	if c.refused == nil && grace < 0 {
		c.refused = fault.InvalidMembers(fault.FieldError{Pointer: "/grace", Detail: "is before now"})
	}
	var secret authz.Secret
	r, err := changeRecord(ctx, &cs.records, a, c, func(r *store.Client, now time.Time) (err error) {
		switch {
		case r.Unsupported:
			return store.ErrUnsupported
		case r.Public:
			return fault.Refuse(fault.Conflict, "a public client has no secret")
		case grace > 0:
			r.Previous = append(store.Unexpired(r.Previous, now), store.PreviousSecret{Hash: r.Hash, Until: now.Add(grace)})
		default:
			r.Previous = nil
			r.EndTokens()
		}
		r.Rotated, r.At = store.RotatedAt(now, store.Latest(r.Created, r.Rotated)), now
		secret, err = cs.newSecret(r)
		return err
	})
	if err != nil {
		return store.Client{}, authz.Secret{}, err
	}
	return r, secret, nil
}

// DeleteClient ends a client, its secrets and its tokens. It needs keyward:admin.
func (cs *Clients) DeleteClient(ctx context.Context, a access.Actor, ref ClientRef) error {
	c := cs.records.byAdmin(a, audit.ClientDelete, ref.ID, ref.IfMatch)
	_, err := changeRecord(ctx, &cs.records, a, c, func(r *store.Client, now time.Time) error {
		r.Delete(now)
		r.Ending = a.Act("")
		return nil
	})
	return err
}

// Client returns a client. It needs keyward:read.
func (cs *Clients) Client(ctx context.Context, a access.Actor, id string) (store.Client, error) {
	return cs.records.get(ctx, a, id)
}

// ListClients returns a page of the clients that the filter selects. It needs
// keyward:read.
func (cs *Clients) ListClients(ctx context.Context, a access.Actor, filter store.ClientFilter, page store.Page) ([]store.Client, store.Cursor, error) {
	return cs.records.list(ctx, a, filter, page)
}

// newSecret gives the client a secret.
func (cs *Clients) newSecret(r *store.Client) (authz.Secret, error) {
	secret, err := apikey.Generate(cs.rand, secretPrefix, apikey.FormatKeyward)
	if err == nil {
		r.Hash = cs.hasher.Digest(secret.Reveal())
	}
	return secret, err
}

// action is what the audit log calls the change.
func (p ClientPatch) action() audit.Action {
	if p.Disabled != nil && *p.Disabled && p.Name == nil && p.RedirectURIs == nil && p.Scopes == nil && p.Grants == nil {
		return audit.ClientDisable
	}
	return audit.ClientUpdate
}

// apply changes what the patch gives, but whether the client is disabled.
func (p ClientPatch) apply(r *store.Client) {
	if p.Name != nil {
		r.Name = *p.Name
	}
	if p.RedirectURIs != nil {
		r.RedirectURIs = *p.RedirectURIs
	}
	if p.Scopes != nil {
		r.Scopes = *p.Scopes
	}
	if p.Grants != nil {
		r.Grants = *p.Grants
	}
}

// checkClient returns all that is wrong with a client.
func checkClient(r *store.Client) error {
	var bad fault.Problems
	if !store.ValidClientID(r.ID) {
		bad.Add("/id", "is not %s and 12 characters", store.ClientIDPrefix)
	}
	if r.Name == "" {
		bad.Add("/name", "is required: users see it when they are asked for their consent")
	}
	bad.Check("/name", store.CheckClientName(r.Name))
	bad.Check("/grants", oauth.CheckGrants(r.Grants, r.Public))
	bad.Check("/redirect_uris", oauth.CheckRedirectURIs(r.RedirectURIs, r.Grants))
	_, _, err := store.CompileAccess(nil, r.Scopes)
	bad.Check("/scopes", err)
	if len(access.Managing(r.Scopes)) > 0 {
		bad.Add("/scopes", "no token has a scope that begins with %s", access.ScopePrefix)
	}
	return bad.Err()
}

// ClientView is what is shown of a client, in the commands and in the API alike: all but
// the hashes.
type ClientView struct {
	ID           string        `json:"id"`
	Secret       string        `json:"secret,omitempty"` // only when the client is created or rotated
	Name         string        `json:"name,omitempty"`
	RedirectURIs []string      `json:"redirect_uris" nullable:"false"`
	Scopes       []string      `json:"scopes" nullable:"false"`
	Grants       []oauth.Grant `json:"grants" nullable:"false"`
	Public       bool          `json:"public"`
	Disabled     bool          `json:"disabled"`
	Created      time.Time     `json:"created"`
	CreatedBy    string        `json:"created_by,omitempty"`
	Rotated      time.Time     `json:"rotated,omitzero"`
	Previous     []time.Time   `json:"previous_until,omitempty"` // ends of graces
	Unsupported  bool          `json:"unsupported,omitempty"`    // a newer version wrote the record
	Ending       *store.Act    `json:"ending,omitempty"`         // by which it was disabled
}

// ViewClient returns what is shown of the client.
func ViewClient(r *store.Client, now time.Time) ClientView {
	v := ClientView{
		ID: r.ID, Name: r.Name, RedirectURIs: append([]string{}, r.RedirectURIs...), Scopes: append([]string{}, r.Scopes...),
		Grants: append([]oauth.Grant{}, r.Grants...), Public: r.Public, Disabled: r.Disabled || r.Unsupported,
		Created: r.Created.UTC(), CreatedBy: r.CreatedBy, Rotated: r.Rotated.UTC(), Unsupported: r.Unsupported,
		Ending: r.Ending.Shown(),
	}
	for _, p := range store.Unexpired(r.Previous, now) {
		v.Previous = append(v.Previous, p.Until.UTC())
	}
	return v
}
