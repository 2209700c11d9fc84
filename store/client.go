package store

import (
	"slices"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/store/jsonline"
	"keyward/store/oauth"
	"keyward/store/recordline"
)

const (
	errNoClientID jsonline.Error = "no id, or not c_ and 12 characters of 0-9A-Za-z"
	errGrant      jsonline.Error = "an unknown grant"
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

// Client is all that a store says about one OAuth client.
type Client struct {
	ID           string        `json:"id"`
	Name         string        `json:"name,omitempty"`
	RedirectURIs []string      `json:"redirect_uris,omitempty"`
	Scopes       []string      `json:"scopes,omitempty"` // the most that its tokens may have; none: no scope
	Grants       []oauth.Grant `json:"grants,omitempty"`
	Disabled     bool          `json:"disabled,omitempty"`

	// Public is a client that cannot keep a secret (RFC 6749 section 2.1). It has
	// neither Hash nor Previous; every other client has a Hash.
	Public   bool             `json:"public,omitempty"`
	Hash     apikey.Digest    `json:"hash,omitzero"`
	Previous []PreviousSecret `json:"previous,omitempty"` // as in KeyRecord

	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by,omitempty"` // the user who made it; "" if a command did
	Rotated   time.Time `json:"rotated,omitzero"`     // when the secret was last replaced
	Deleted   time.Time `json:"deleted,omitzero"`
	Ending    *Act      `json:"ending,omitempty"` // by which it was disabled or deleted; nil: not known

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

// Clone returns a record that shares no memory with r.
func (r *Client) Clone() Client {
	c := *r
	for _, text := range []*string{&c.ID, &c.Name, &c.CreatedBy, &c.Unknown} {
		*text = strings.Clone(*text)
	}
	c.RedirectURIs, c.Scopes = cloneTexts(r.RedirectURIs), cloneTexts(r.Scopes)
	c.Grants = append([]oauth.Grant(nil), r.Grants...)
	c.Previous, c.Ending = append([]PreviousSecret(nil), r.Previous...), r.Ending.clone()
	return c
}

// Version is the version of the record. Secrets that were rotated out are not part of
// it, as in KeyRecord.
func (r *Client) Version() Version {
	c := *r
	c.Previous = nil
	return versionOf(c.encode())
}

// EndTokens ends the tokens that were issued to the client.
func (r *Client) EndTokens() { r.Gen++ }

// Delete makes the record that of a deleted client, whose secrets and tokens end.
func (r *Client) Delete(now time.Time) {
	*r = Client{
		ID: r.ID, Created: r.Created, CreatedBy: r.CreatedBy, Deleted: now, Gen: r.Gen + 1, At: now,
		Seq: r.Seq, Unknown: r.Unknown, Unsupported: r.Unsupported,
	}
}

// CheckClientName returns why no client can have the name; the error is ErrInvalid.
func CheckClientName(name string) error { return checkName("client's name", name) }

// ClientFilter selects OAuth clients that have all that is not zero.
type ClientFilter struct {
	Grant oauth.Grant
	Text  string // in the name, or the entire id
}

// Match reports whether the filter selects the client.
func (f *ClientFilter) Match(r *Client) bool {
	return (f.Grant == "" || slices.Contains(r.Grants, f.Grant)) && (f.Text == "" || f.Text == r.ID || strings.Contains(r.Name, f.Text))
}

// clientKind is what an OAuth client's line has.
var clientKind = recordline.Kind[Client]{
	Fields: []recordline.Field[Client]{
		recordline.Text("id", func(r *Client) *string { return &r.ID }),
		recordline.Text("name", func(r *Client) *string { return &r.Name }),
		recordline.Texts("redirect_uris", func(r *Client) *[]string { return &r.RedirectURIs }),
		recordline.Texts("scopes", func(r *Client) *[]string { return &r.Scopes }),
		recordline.Value("grants", func(r *Client) *[]oauth.Grant { return &r.Grants }, readGrants),
		recordline.Bool("disabled", func(r *Client) *bool { return &r.Disabled }),
		recordline.Bool("public", func(r *Client) *bool { return &r.Public }),
		recordline.Value("hash", func(r *Client) *apikey.Digest { return &r.Hash }, readDigest),
		recordline.Value("previous", func(r *Client) *[]PreviousSecret { return &r.Previous }, readPreviousSecrets),
		recordline.Time("created", func(r *Client) *time.Time { return &r.Created }),
		recordline.Text("created_by", func(r *Client) *string { return &r.CreatedBy }),
		recordline.Time("rotated", func(r *Client) *time.Time { return &r.Rotated }),
		recordline.Time("deleted", func(r *Client) *time.Time { return &r.Deleted }),
		recordline.Value("ending", func(r *Client) **Act { return &r.Ending }, readOwnEnding),
		recordline.Integer("gen", func(r *Client) *int64 { return &r.Gen }),
		recordline.Time("at", func(r *Client) *time.Time { return &r.At }),
		recordline.Integer("seq", func(r *Client) *int64 { return &r.Seq }),
	},
	Ends:     []string{"id", "disabled", "deleted", "ending", "gen", "at", "seq"},
	Complete: completeClient,
	About:    func(r *Client) bool { return ValidClientID(r.ID) },
	Keep:     func(r *Client, unknown string, unsupported bool) { r.Unknown, r.Unsupported = unknown, unsupported },
}

// completeClient checks each member. What two members must not say together is for the
// caller who changes a client: a reader that refused such a line would keep the record
// before, which may allow more.
func completeClient(r *Client, has func(name string) bool) error {
	switch {
	case !ValidClientID(r.ID):
		return errNoClientID
	case r.Created.IsZero() || r.At.IsZero():
		return errNoTime
	case !r.Deleted.IsZero():
		return nil
	case r.Public && (has("hash") || has("previous")):
		return errPublic
	case !r.Public && r.Hash == (apikey.Digest{}):
		return errNoHash
	case slices.ContainsFunc(r.Grants, func(g oauth.Grant) bool { return !slices.Contains(oauth.Grants(), g) }):
		return errGrant
	case slices.ContainsFunc(r.RedirectURIs, func(uri string) bool { return oauth.CheckRedirectURI(uri) != nil }):
		return errRedirect
	}
	if _, _, err := CompileAccess(nil, r.Scopes); err != nil {
		return errAccess
	}
	return nil
}

func readGrants(s *jsonline.Scanner, into *[]oauth.Grant) error {
	return s.Array(func() error {
		text, ok := s.ReadString()
		if !ok {
			return jsonline.ErrType
		}
		if len(*into) == len(oauth.Grants()) {
			return jsonline.ErrList
		}
		*into = append(*into, oauth.Grant(text))
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
type ClientDecoder struct{ lines recordline.Decoder[Client] }

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *ClientDecoder) Decode(line []byte) (*Client, error) {
	return d.lines.Decode(&clientKind, line)
}

// clientEnd has the members of clientKind.Ends.
type clientEnd struct {
	ID       string    `json:"id"`
	Disabled bool      `json:"disabled,omitempty"`
	Deleted  time.Time `json:"deleted,omitzero"`
	Ending   *Act      `json:"ending,omitempty"`
	Gen      int64     `json:"gen,omitempty"`
	At       time.Time `json:"at,omitzero"`
	Seq      int64     `json:"seq,omitempty"`
}

func (r *Client) encode() ([]byte, error) {
	var v any = r
	if r.Unsupported {
		v = &clientEnd{r.ID, r.Disabled, r.Deleted, r.Ending, r.Gen, r.At, r.Seq}
	}
	return recordline.Encode(v, r.Unknown)
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
