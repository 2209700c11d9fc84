package store

import (
	"fmt"
	"io"
	"time"

	"keyward/apikey"
	"keyward/authz"
)

// KeyMaker makes keys and their secrets. It writes nothing: what it returns is for
// an Editor.
type KeyMaker struct {
	Hasher *apikey.Hasher
	Rand   io.Reader
}

// New returns the record of a new key and its secret, which is in no record.
func (m KeyMaker) New(p *KeyParams, now time.Time) (KeyRecord, authz.Secret, error) {
	format := p.Format
	if format == "" {
		format = apikey.FormatKeyward
	}
	secret, err := apikey.Generate(m.Rand, p.Prefix, format)
	if err != nil {
		return KeyRecord{}, authz.Secret{}, err
	}
	r, err := m.record(p, now)
	if err != nil {
		return KeyRecord{}, authz.Secret{}, err
	}
	r.Format = format
	m.setSecret(&r, secret, p.Prefix)
	return r, secret, nil
}

// Imported returns the record of a key of another system.
func (m KeyMaker) Imported(key *ImportedKey, now time.Time) (KeyRecord, error) {
	r, err := m.record(key.Params, now)
	r.Prefix, r.Hint, r.Format, r.Hash = key.Prefix, key.Hint, key.Format, key.Hash
	return r, err
}

// record returns a new key's record, without what follows from its secret.
func (m KeyMaker) record(p *KeyParams, now time.Time) (KeyRecord, error) {
	id := p.ID
	if id == "" {
		random, err := apikey.NewID(m.Rand)
		if err != nil {
			return KeyRecord{}, err
		}
		id = random.String()
	}
	r := KeyRecord{
		ID: id, Name: p.Name, User: p.User, Project: p.Project, Paths: p.Paths, Scopes: p.Scopes,
		Rate: p.Rate, Created: now, Expires: p.Expires, NotBefore: p.NotBefore, CIDRs: p.CIDRs,
		Description: p.Description, Owner: p.Owner, CreatedBy: p.CreatedBy, At: now,
	}
	if !r.Expires.IsZero() {
		r.Expires = r.Expires.UTC()
	}
	return r.Clone(), nil
}

// setSecret makes secret the record's.
func (m KeyMaker) setSecret(r *KeyRecord, secret authz.Secret, prefix string) {
	if r.Format == apikey.FormatHex {
		prefix = ""
	}
	r.Prefix, r.Hint, r.Hash = prefix, apikey.Hint(secret.Reveal(), prefix), m.Hasher.Digest(secret.Reveal())
}

// Rotate gives the key a new secret. The one before stays valid for the grace, and
// earlier ones for what is left of theirs; without a grace all of them end. A grace
// below zero is ErrInvalid, a key that has ended ErrRevoked.
func (m KeyMaker) Rotate(r *KeyRecord, now time.Time, grace time.Duration) (authz.Secret, error) {
	switch {
	case grace < 0:
		return authz.Secret{}, fmt.Errorf("%w: a grace before now", ErrInvalid)
	case r.Ended():
		return authz.Secret{}, ErrRevoked
	case r.Unsupported:
		return authz.Secret{}, ErrUnsupported
	}
	format := r.Format
	if format == apikey.FormatRaw {
		format = apikey.FormatKeyward
	}
	secret, err := apikey.Generate(m.Rand, r.Prefix, format)
	if err != nil {
		return authz.Secret{}, err
	}
	r.Previous = append(r.Unexpired(now), PreviousSecret{Hash: r.Hash, Until: now.Add(grace)})
	if grace == 0 {
		r.EndGrace()
		r.Format = format // with a grace the key has secrets of both formats
	}
	m.setSecret(r, secret, r.Prefix)
	r.Rotated, r.At = RotatedAt(now, r.SecretSince()), now
	return secret, nil
}

// RotatedAt returns when a secret is replaced that is from that time. It is later than
// that, also by a clock that is behind: by it readers know which secret is the earlier.
func RotatedAt(now, since time.Time) time.Time { return Latest(now, since.Add(time.Millisecond)) }

// Unexpired returns the previous secrets whose grace is not over.
func (r *KeyRecord) Unexpired(now time.Time) []PreviousSecret { return Unexpired(r.Previous, now) }

// Unexpired returns those of the secrets whose grace is not over.
func Unexpired(previous []PreviousSecret, now time.Time) []PreviousSecret {
	var kept []PreviousSecret
	for _, p := range previous {
		if p.Until.After(now) {
			kept = append(kept, p)
		}
	}
	return kept
}

// EndGrace ends all previous secrets, independent of any clock.
func (r *KeyRecord) EndGrace() {
	for i := range r.Previous {
		r.Previous[i].Until = time.Time{}
	}
}

// Revoke ends the key, its secrets in a grace included. It reports whether that
// changes the key: one that has ended stays as it is.
func (r *KeyRecord) Revoke(now time.Time) bool {
	if r.Ended() {
		return false
	}
	r.Revoked, r.At = now, now
	return true
}

// Delete ends the key and hides it. It reports whether that changes the key.
func (r *KeyRecord) Delete(now time.Time) bool {
	if !r.Deleted.IsZero() {
		return false
	}
	r.Deleted, r.At = now, now
	return true
}
