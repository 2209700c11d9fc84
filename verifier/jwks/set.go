// Package jwks says which keys may verify what: it reads a JSON Web Key Set
// (RFC 7517) and holds each key to the algorithms, the use and the size that
// are right for it. It verifies nothing and fetches nothing.
package jwks

import (
	"errors"
	"fmt"
	"strconv"

	"keyward/verifier/strictjson"
)

// Limits of a key set.
const (
	maxSize    = 512 << 10 // bytes
	maxKeys    = 100
	maxMembers = 128 // beside "keys"; others must be ignored (RFC 7517 section 5)
	maxDepth   = 16
)

// What Find answers when there is no one key.
var (
	ErrNoKey    = errors.New("jwks: no key of that id and algorithm")
	ErrManyKeys = errors.New("jwks: several keys fit and none is named")
)

// Set is a key set. It is never changed. The zero Set has no keys.
type Set struct {
	keys []*Key
	byID map[string]*Key
	// anyID is true of a secret: it has no id, so one that a token names says nothing about it.
	anyID bool
	// ignored are the keys that were left out.
	ignored []Ignored
}

// Ignored is a key of a document that is not in the set.
type Ignored struct {
	Index int    // in the document's list, from 0
	ID    string // its kid as it can be shown: escaped and cut short; "" is none
	Why   string // quotes nothing of the document
}

// String is one line about it.
func (i Ignored) String() string {
	if i.ID == "" {
		return fmt.Sprintf("key %d: %s", i.Index, i.Why)
	}
	return fmt.Sprintf("key %d (kid %s): %s", i.Index, i.ID, i.Why)
}

// Ignored lists the keys that were left out. The slice must not be changed.
func (s *Set) Ignored() []Ignored { return s.ignored }

// Parse reads a JWKS document.
//
// The whole set is refused where it is no strict JSON or too large, where a
// key shows a private or symmetric part (whoever publishes one has lost it, and
// a symmetric key from a set would let its readers sign), where two keys have
// one id (then "which key?" depends on the reader), and where no usable key is left.
//
// A key that can't or must not be used here is left out and the others serve:
// an unknown kty or curve, another use or algorithm (RFC 7517 section 5 asks for
// that), and an unfit one too: a weak or oversized modulus, an exponent of one, a
// coordinate of the wrong length, a point off the curve or of small order. Leaving it out denies all that
// it could have signed, while refusing the set for it would let one odd key
// turn away everybody else's tokens.
func Parse(data []byte) (*Set, error) {
	listed, err := list(data)
	if err != nil {
		return nil, err
	}
	set := &Set{byID: map[string]*Key{}}
	ids := map[string]bool{}
	for i, entry := range listed {
		jwk, ok := entry.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("jwks: key %d is not an object", i)
		}
		if showsPrivate(jwk) {
			return nil, fmt.Errorf("jwks: key %d shows a private or symmetric part", i)
		}
		if id, named := jwk["kid"].(string); named {
			if ids[id] {
				return nil, fmt.Errorf("jwks: key %d has the id of another", i)
			}
			ids[id] = true
		}
		if key, err := parseKey(jwk); err == nil {
			set.add(key)
		} else {
			id, _ := jwk["kid"].(string)
			set.ignored = append(set.ignored, Ignored{i, shown(id), err.Error()})
		}
	}
	if len(set.keys) == 0 {
		return nil, noneOf(set.ignored)
	}
	return set, nil
}

// noneOf is the error about a document without a key that can be used. It says
// why of the first few.
func noneOf(ignored []Ignored) error {
	const most = 3
	text := "jwks: no usable key"
	for _, each := range ignored[:min(len(ignored), most)] {
		text += fmt.Sprintf("; key %d: %s", each.Index, each.Why)
	}
	if len(ignored) > most {
		text += fmt.Sprintf("; and %d more", len(ignored)-most)
	}
	return errors.New(text)
}

// shown is an id as a log can have it: visible ASCII, at most 64 bytes of it.
func shown(id string) string {
	const most = 64
	quoted := strconv.QuoteToASCII(id)
	quoted = quoted[1 : len(quoted)-1]
	if len(quoted) > most {
		return quoted[:most] + "…"
	}
	return quoted
}

// list returns what stands in the document's keys, some but not too many.
func list(data []byte) ([]any, error) {
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

// privateMembers are the names of RFC 7518 section 6 and RFC 9964 (priv) for what must stay with its owner.
var privateMembers = [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

func showsPrivate(jwk map[string]any) bool {
	for _, name := range privateMembers {
		if _, shown := jwk[name]; shown {
			return true
		}
	}
	return jwk["kty"] == "oct"
}

func (s *Set) add(k *Key) {
	s.keys = append(s.keys, k)
	if k.hasID {
		s.byID[k.id] = k
	}
}

// Find returns the key that the id and the algorithm name. Without an id it is
// the one key that serves the algorithm. ErrNoKey means that none fits,
// ErrManyKeys that more than one does and no id tells which.
func (s *Set) Find(kid string, hasKid bool, algorithm string) (*Key, error) {
	if hasKid && !s.anyID {
		if k := s.byID[kid]; k != nil && k.Serves(algorithm) {
			return k, nil
		}
		return nil, ErrNoKey
	}
	var found *Key
	for _, k := range s.keys {
		if !k.Serves(algorithm) {
			continue
		}
		if found != nil {
			return nil, ErrManyKeys
		}
		found = k
	}
	if found == nil {
		return nil, ErrNoKey
	}
	return found, nil
}

// Has tells whether this very key is in the set: the same key, id and
// algorithms, be it from an earlier reading.
func (s *Set) Has(k *Key) bool {
	for _, own := range s.keys {
		if own == k || own.thumbprint == k.thumbprint {
			return true
		}
	}
	return false
}

// Len is the number of usable keys.
func (s *Set) Len() int { return len(s.keys) }

// text returns a member that must be a string where it is there.
func text(jwk map[string]any, name string) (value string, present, ok bool) {
	v, present := jwk[name]
	if !present {
		return "", false, true
	}
	value, ok = v.(string)
	return value, true, ok
}
