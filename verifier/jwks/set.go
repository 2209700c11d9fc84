// Package jwks reads a JSON Web Key Set (RFC 7517) and decides which keys may
// verify which tokens: it checks the algorithms, the use and the size of each
// key. It verifies no signature and fetches nothing.
package jwks

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"keyward/verifier/strictjson"
)

// Limits of a key set.
const (
	maxSize    = 512 << 10 // bytes
	maxKeys    = 100
	maxMembers = 128 // besides "keys"; unknown ones must be ignored (RFC 7517 section 5)
	maxDepth   = 16
)

// maxTried bounds the keys that may be tried for one token that does not say
// which it was signed with.
const maxTried = 4

// The errors of Find.
var (
	ErrNoKey    = errors.New("jwks: no key of that id and algorithm")
	ErrManyKeys = errors.New("jwks: several keys fit and none is named")
)

// Set is an immutable key set. The zero Set has no keys.
type Set struct {
	keys []*Key
	byID map[string][]*Key // those of one id have different algorithms
	// listed are the ids of the document's keys, of those that were left out too.
	listed map[string]bool
	// ignoreKeyID is true for a secret and for keys in PEM: they have no ids, so
	// a token's kid says nothing about them.
	ignoreKeyID bool
	// ignored are the keys that were left out.
	ignored []Ignored
}

// Query is what a token says about the key that verifies it.
type Query struct {
	ID        string // kid
	HasID     bool
	Algorithm string
	// OptionalID means that several keys may be tried: without an id, those that
	// fit the algorithm; with one that no key has, those that have no id either.
	OptionalID bool
}

// Ignored is a key of a document that is not in the set.
type Ignored struct {
	Index int    // in the document's list, from 0
	ID    string // its kid, escaped and truncated; "" is none
	Why   string // quotes nothing of the document
}

// String returns a one-line description.
func (i Ignored) String() string {
	if i.ID == "" {
		return fmt.Sprintf("key %d: %s", i.Index, i.Why)
	}
	return fmt.Sprintf("key %d (kid %s): %s", i.Index, i.ID, i.Why)
}

// Ignored returns the keys that were left out. The slice must not be modified.
func (s *Set) Ignored() []Ignored { return s.ignored }

// Parse reads a JWKS document.
//
// The entire set is refused if it is not strict JSON or too large, if a key has
// a private or symmetric member (a published one is compromised, and a
// symmetric key in a set would let its readers sign), if two different keys have
// the same id and could verify the same algorithm (which one is meant depends on
// the reader), and if no usable key is left. A key that is listed twice counts
// once.
//
// A key that cannot or must not be used here is left out, and the others are
// used: an unknown kty or curve, another use or algorithm (RFC 7517 section 5
// asks for that), and also a weak or oversized modulus, an exponent of one, a
// coordinate of the wrong length, a point off the curve or of small order.
// Leaving it out denies every token that it could have signed, while refusing
// the set would deny the tokens of all other keys.
func Parse(data []byte) (*Set, error) {
	listed, err := keyList(data)
	if err != nil {
		return nil, err
	}
	set := newSet()
	entries := map[string][]entry{}
	for i, element := range listed {
		jwk, ok := element.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("jwks: key %d is not an object", i)
		}
		if hasPrivateMembers(jwk) {
			return nil, fmt.Errorf("jwks: key %d shows a private or symmetric part", i)
		}
		key, err := parseKey(jwk)
		id, named := jwk["kid"].(string)
		if named {
			e := newEntry(i, jwk, key)
			if other := e.conflict(entries[id]); other != nil {
				return nil, fmt.Errorf("jwks: key %d has the id of key %d, is another one, and could verify the same algorithm", i, other.index)
			}
			entries[id] = append(entries[id], e)
			set.listed[id] = true
		}
		if err == nil {
			set.add(key)
		} else {
			set.ignored = append(set.ignored, Ignored{i, printableID(id), err.Error()})
		}
	}
	return set.usable()
}

func newSet() *Set { return &Set{byID: map[string][]*Key{}, listed: map[string]bool{}} }

// usable returns the set if it has a key.
func (s *Set) usable() (*Set, error) {
	if len(s.keys) == 0 {
		return nil, noUsableKey(s.ignored)
	}
	return s, nil
}

// noUsableKey returns the error for a document without a usable key. It gives
// the reasons for the first few.
func noUsableKey(ignored []Ignored) error {
	const limit = 3
	text := "jwks: no usable key"
	for _, each := range ignored[:min(len(ignored), limit)] {
		text += fmt.Sprintf("; key %d: %s", each.Index, each.Why)
	}
	if len(ignored) > limit {
		text += fmt.Sprintf("; and %d more", len(ignored)-limit)
	}
	return errors.New(text)
}

// printableID returns an id for the log: visible ASCII, at most 64 bytes.
func printableID(id string) string {
	const limit = 64
	quoted := strconv.QuoteToASCII(id)
	quoted = quoted[1 : len(quoted)-1]
	if len(quoted) > limit {
		return quoted[:limit] + "…"
	}
	return quoted
}

// keyList returns the document's keys member.
func keyList(data []byte) ([]any, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("jwks: over %d bytes", maxSize)
	}
	document, err := strictjson.Object(data, strictjson.Limits{Depth: maxDepth, Members: maxMembers})
	if err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	keys, ok := document["keys"].([]any)
	if !ok {
		return nil, errors.New("jwks: no list of keys")
	}
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("jwks: over %d keys", maxKeys)
	}
	return keys, nil
}

// privateMembers are the names of RFC 7518 section 6 and RFC 9964 (priv) for
// private key parameters.
var privateMembers = [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

func hasPrivateMembers(jwk map[string]any) bool {
	for _, name := range privateMembers {
		if _, shown := jwk[name]; shown {
			return true
		}
	}
	return jwk["kty"] == "oct"
}

// add adds a key, unless the set has it.
func (s *Set) add(k *Key) {
	if s.Contains(k) {
		return
	}
	s.keys = append(s.keys, k)
	if k.hasID {
		s.byID[k.id] = append(s.byID[k.id], k)
	}
}

// Find returns the key that the id and the algorithm name. Without an id it is
// the one key that supports the algorithm. With OptionalID there may be up to
// four keys to try, in the order of the document. ErrNoKey means that no key
// matches, ErrManyKeys that several match and no id selects one. The slice must
// not be modified.
func (s *Set) Find(q Query) ([]*Key, error) {
	if !q.HasID || s.ignoreKeyID {
		return s.fitting(q, false)
	}
	named := s.byID[q.ID]
	for i, k := range named {
		if k.SupportsAlgorithm(q.Algorithm) {
			return named[i : i+1 : i+1], nil
		}
	}
	if !q.OptionalID || s.listed[q.ID] {
		return nil, ErrNoKey
	}
	return s.fitting(q, true)
}

// fitting returns the keys that support the algorithm, or only those without an
// id.
func (s *Set) fitting(q Query, withoutID bool) ([]*Key, error) {
	var found []*Key
	for i, k := range s.keys {
		switch {
		case !k.SupportsAlgorithm(q.Algorithm) || withoutID && k.hasID:
		case found == nil:
			found = s.keys[i : i+1 : i+1]
		case !q.OptionalID:
			return nil, ErrManyKeys
		case len(found) < maxTried && !slices.ContainsFunc(found, func(other *Key) bool { return other.keyDigest == k.keyDigest }):
			found = append(found, k)
		}
	}
	if found == nil {
		return nil, ErrNoKey
	}
	return found, nil
}

// Contains reports whether the set has this key: the same key, id and
// algorithms, even if k is from an earlier document.
func (s *Set) Contains(k *Key) bool {
	for _, own := range s.keys {
		if own == k || own.thumbprint == k.thumbprint {
			return true
		}
	}
	return false
}

// Len returns the number of usable keys.
func (s *Set) Len() int { return len(s.keys) }

// text returns a member that must be a string if it is present.
func text(jwk map[string]any, name string) (value string, present, ok bool) {
	v, present := jwk[name]
	if !present {
		return "", false, true
	}
	value, ok = v.(string)
	return value, true, ok
}
