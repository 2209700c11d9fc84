package store

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/store/jsonline"
	"keyward/store/redirecturi"
)

const (
	errNoClientID jsonline.Error = "no id, or not c_ and 12 characters of 0-9A-Za-z"
	errGrant      jsonline.Error = "an unknown grant, or one that the client cannot have"
	errRedirect   jsonline.Error = "an invalid redirect URI"
	errPublic     jsonline.Error = "a public client with a secret"
)

// ClientIDPrefix is the prefix of every OAuth client's id; the rest is as in a key's.
const ClientIDPrefix = "c_"

// ValidClientID reports whether the text is the id of an OAuth client.
func ValidClientID(id string) bool {
	rest, found := strings.CutPrefix(id, ClientIDPrefix)
	_, ok := apikey.ParseID([]byte(apikey.IDPrefix + rest))
	return found && ok
}

// Grant is a way in which an OAuth client may get tokens. The set is closed.
type Grant string

// The grants, by their names in RFC 6749 (grant_type).
const (
	GrantAuthorizationCode Grant = "authorization_code"
	GrantRefreshToken      Grant = "refresh_token"
	GrantClientCredentials Grant = "client_credentials"
)

// Grants returns all grants.
func Grants() []Grant {
	return []Grant{GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials}
}

// Client is all that a store says about one OAuth client.
type Client struct {
	ID           string   `json:"id"`
	Name         string   `json:"name,omitempty"`
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	Scopes       []string `json:"scopes,omitempty"` // the most that its tokens may have; none: no scope
	Grants       []Grant  `json:"grants,omitempty"` // none: it gets no tokens
	Disabled     bool     `json:"disabled,omitempty"`

	// Public is a client that cannot keep a secret (RFC 6749 section 2.1). It has
	// neither Hash nor Previous; every other client has a Hash.
	Public   bool             `json:"public,omitempty"`
	Hash     apikey.Digest    `json:"hash,omitzero"`
	Previous []PreviousSecret `json:"previous,omitempty"` // as in KeyRecord

	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by,omitempty"` // the user who made it; "" if a command did
	Rotated   time.Time `json:"rotated,omitzero"`     // when the secret was last replaced
	Deleted   time.Time `json:"deleted,omitzero"`

	// Gen is the generation of the client's tokens, as in UserRecord.
	Gen int64 `json:"gen,omitempty"`

	// At is when the record was last changed.
	At time.Time `json:"at"`

	// Seq, Unknown and Unsupported are as in KeyRecord: a client whose record is not
	// supported is disabled.
	Seq         int64  `json:"seq,omitempty"`
	Unknown     string `json:"-"`
	Unsupported bool   `json:"-"`
}

// Enabled reports whether the client may get tokens.
func (r *Client) Enabled() bool {
	return r.ID != "" && !r.Disabled && !r.Unsupported && r.Deleted.IsZero()
}

// Accepts reports whether the secret with the digest is one with which the client is
// authenticated: its own, or one whose grace is not over. A public client has none.
func (r *Client) Accepts(digest *apikey.Digest, now time.Time) bool {
	none := apikey.Digest{}
	if !r.Enabled() || r.Public || r.Hash == none {
		return false
	}
	accepted := subtle.ConstantTimeCompare(r.Hash[:], digest[:]) == 1
	for i := range r.Previous {
		p := &r.Previous[i]
		accepted = accepted || p.Until.After(now) && subtle.ConstantTimeCompare(p.Hash[:], digest[:]) == 1
	}
	return accepted
}

// Clone returns a record that shares no memory with r.
func (r *Client) Clone() Client {
	c := *r
	for _, text := range []*string{&c.ID, &c.Name, &c.CreatedBy, &c.Unknown} {
		*text = strings.Clone(*text)
	}
	c.RedirectURIs, c.Scopes = cloneTexts(r.RedirectURIs), cloneTexts(r.Scopes)
	c.Grants = append([]Grant(nil), r.Grants...)
	c.Previous = append([]PreviousSecret(nil), r.Previous...)
	return c
}

// Version is the version of the record. Secrets that were rotated out are not part of
// it, as in KeyRecord.
func (r *Client) Version() Version {
	c := *r
	c.Previous = nil
	return versionOf(c.encode())
}

// MaxRedirectURIs bounds the redirect URIs of a client.
const MaxRedirectURIs = 50

// managingScopes is how the scopes begin that allow managing Keyward itself.
const managingScopes = "keyward:"

// Check returns why no OAuth client can be made of the record, or changed to it, in
// words for the caller; the error is ErrInvalid and says all that is wrong.
func (r *Client) Check() error {
	errs := []error{checkName("name", r.Name), checkGrants(r)}
	if len(r.RedirectURIs) > MaxRedirectURIs {
		errs = append(errs, fmt.Errorf("%w: more than %d redirect URIs", ErrInvalid, MaxRedirectURIs))
	}
	for i, uri := range r.RedirectURIs {
		if err := redirecturi.Check(uri); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrInvalid, err))
		} else if slices.Contains(r.RedirectURIs[:i], uri) {
			errs = append(errs, fmt.Errorf("%w: a redirect URI twice", ErrInvalid))
		}
	}
	if r.MayUse(GrantAuthorizationCode) != (len(r.RedirectURIs) > 0) {
		errs = append(errs, fmt.Errorf("%w: a client has redirect URIs if it has the grant %s, and only then", ErrInvalid, GrantAuthorizationCode))
	}
	if len(r.Grants) == 0 {
		errs = append(errs, fmt.Errorf("%w: a client must have a grant", ErrInvalid))
	}
	if _, _, err := CompileAccess(nil, r.Scopes); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	if slices.ContainsFunc(r.Scopes, func(scope string) bool { return strings.HasPrefix(scope, managingScopes) }) {
		errs = append(errs, fmt.Errorf("%w: a client cannot have scopes that begin with %s: no token has them", ErrInvalid, managingScopes))
	}
	return errors.Join(errs...)
}

// MayUse reports whether the client has the grant.
func (r *Client) MayUse(g Grant) bool { return slices.Contains(r.Grants, g) }

// checkGrants returns why a client cannot have its grants. A public client has no
// secret to authenticate with, and so gets no tokens of its own (RFC 6749 section 4.4).
// Refresh tokens come with an authorization code alone (section 4.4.3).
func checkGrants(r *Client) error {
	for i, g := range r.Grants {
		switch {
		case !slices.Contains(Grants(), g):
			return fmt.Errorf("%w: a grant is one of %s, %s and %s", ErrInvalid, GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials)
		case slices.Contains(r.Grants[:i], g):
			return fmt.Errorf("%w: a grant twice", ErrInvalid)
		}
	}
	switch {
	case r.Public && r.MayUse(GrantClientCredentials):
		return fmt.Errorf("%w: a public client cannot have the grant %s", ErrInvalid, GrantClientCredentials)
	case r.MayUse(GrantRefreshToken) && !r.MayUse(GrantAuthorizationCode):
		return fmt.Errorf("%w: the grant %s needs %s", ErrInvalid, GrantRefreshToken, GrantAuthorizationCode)
	}
	return nil
}

// ClientFilter selects OAuth clients that have all that is not zero.
type ClientFilter struct {
	Grant Grant
	Text  string // in the name, or the entire id
}

// Match reports whether the filter selects the client.
func (f *ClientFilter) Match(r *Client) bool {
	return (f.Grant == "" || r.MayUse(f.Grant)) && (f.Text == "" || f.Text == r.ID || strings.Contains(r.Name, f.Text))
}

// clientKind is what an OAuth client's line has.
var clientKind = recordKind[Client]{
	fields: []recordField[Client]{
		textField("id", func(r *Client) *string { return &r.ID }),
		textField("name", func(r *Client) *string { return &r.Name }),
		textsField("redirect_uris", func(r *Client) *[]string { return &r.RedirectURIs }),
		textsField("scopes", func(r *Client) *[]string { return &r.Scopes }),
		valueField("grants", func(r *Client) *[]Grant { return &r.Grants }, readGrants),
		boolField("disabled", func(r *Client) *bool { return &r.Disabled }),
		boolField("public", func(r *Client) *bool { return &r.Public }),
		valueField("hash", func(r *Client) *apikey.Digest { return &r.Hash }, readDigest),
		valueField("previous", func(r *Client) *[]PreviousSecret { return &r.Previous }, readPreviousSecrets),
		timeField("created", func(r *Client) *time.Time { return &r.Created }),
		textField("created_by", func(r *Client) *string { return &r.CreatedBy }),
		timeField("rotated", func(r *Client) *time.Time { return &r.Rotated }),
		timeField("deleted", func(r *Client) *time.Time { return &r.Deleted }),
		integerField("gen", func(r *Client) *int64 { return &r.Gen }),
		timeField("at", func(r *Client) *time.Time { return &r.At }),
		integerField("seq", func(r *Client) *int64 { return &r.Seq }),
	},
	ends:     []string{"id", "disabled", "deleted", "gen", "at", "seq"},
	complete: completeClient,
	about:    func(r *Client) bool { return ValidClientID(r.ID) },
	keep:     func(r *Client, unknown string, unsupported bool) { r.Unknown, r.Unsupported = unknown, unsupported },
}

func completeClient(r *Client, has func(name string) bool) error {
	switch {
	case !ValidClientID(r.ID):
		return errNoClientID
	case r.Created.IsZero() || r.At.IsZero():
		return errNoTime
	case r.Public && (has("hash") || has("previous")):
		return errPublic
	case !r.Public && r.Hash == (apikey.Digest{}):
		return errNoHash
	case checkGrants(r) != nil:
		return errGrant
	case slices.ContainsFunc(r.RedirectURIs, func(uri string) bool { return redirecturi.Check(uri) != nil }):
		return errRedirect
	}
	if _, _, err := CompileAccess(nil, r.Scopes); err != nil {
		return errAccess
	}
	return nil
}

func readGrants(s *jsonline.Scanner, into *[]Grant) error {
	return s.Array(func() error {
		text, ok := s.ReadString()
		if !ok {
			return jsonline.ErrType
		}
		if len(*into) == len(Grants()) {
			return jsonline.ErrList
		}
		*into = append(*into, Grant(text))
		return nil
	})
}

func readPreviousSecrets(s *jsonline.Scanner, into *[]PreviousSecret) error {
	return s.Array(func() error {
		if len(*into) == maxPrevious {
			return jsonline.ErrList
		}
		p, err := readPreviousSecret(s)
		*into = append(*into, p)
		return err
	})
}

// ClientDecoder decodes the lines of OAuth clients.
type ClientDecoder struct{ recordDecoder[Client] }

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *ClientDecoder) Decode(line []byte) (*Client, error) { return d.decode(&clientKind, line) }

// clientEnd has the members of clientKind.ends.
type clientEnd struct {
	ID       string    `json:"id"`
	Disabled bool      `json:"disabled,omitempty"`
	Deleted  time.Time `json:"deleted,omitzero"`
	Gen      int64     `json:"gen,omitempty"`
	At       time.Time `json:"at,omitzero"`
	Seq      int64     `json:"seq,omitempty"`
}

func (r *Client) encode() ([]byte, error) {
	var v any = r
	if r.Unsupported {
		v = &clientEnd{r.ID, r.Disabled, r.Deleted, r.Gen, r.At, r.Seq}
	}
	return encodeWith(v, r.Unknown)
}

// Line encodes the record as a line, as KeyRecord.Line does.
func (r *Client) Line() ([]byte, error) {
	line, err := r.encode()
	if err != nil {
		return nil, err
	}
	var d ClientDecoder
	if _, err := d.Decode(line); err != nil {
		return nil, err
	}
	return line, nil
}
