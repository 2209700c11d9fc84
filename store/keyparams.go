package store

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store/jsonline"
)

// KeyParams are what a new key is to be.
type KeyParams struct {
	ID                  string // "": a random one
	Name, User, Project string
	Paths               []string  // none: anywhere
	Scopes              *[]string // nil: its user's; empty: none
	Rate                string
	Prefix              string
	Format              apikey.Format  // "": FormatKeyward
	Expires             time.Time      // zero: never
	NotBefore           time.Time      // zero: at once
	CIDRs               []netip.Prefix // none: from any address
	Description, Owner  string
	CreatedBy           string
}

// Check returns why no key can be made of the parameters, in words for the
// caller who gave them; the error is ErrInvalid.
func (p *KeyParams) Check() error {
	err := errors.Join(checkName("name", p.Name), checkKeysUser(p.User), checkName("project", p.Project), checkName("rate", p.Rate), checkText("owner", p.Owner, jsonline.MaxText), checkText("description", p.Description, MaxDescription), checkNetworks(p.CIDRs))
	if err != nil {
		return err
	}
	if err := apikey.ValidatePrefix(p.Prefix); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var scopes []string
	if p.Scopes != nil {
		scopes = *p.Scopes
	}
	if _, _, err := CompileAccess(p.Paths, scopes); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// checkNetworks returns why a key cannot be limited to the networks.
func checkNetworks(networks []netip.Prefix) error {
	if len(networks) > MaxCIDRs {
		return fmt.Errorf("%w: a key must not have more than %d networks", ErrInvalid, MaxCIDRs)
	}
	for _, network := range networks {
		if parsed, err := authz.ParseNetwork(network.String()); err != nil || parsed != network {
			return fmt.Errorf("%w: a network must be in its canonical form", ErrInvalid)
		}
	}
	return nil
}

// ImportedKey is a key of another system, which is to be taken over.
type ImportedKey struct {
	Line         int // of the input, which an error names
	Params       *KeyParams
	Hash         apikey.Digest
	Format       apikey.Format
	Prefix, Hint string
}
