package keystore

import (
	"sync/atomic"

	"keyward/authz"
)

// terms compiles where a key or user may go and what it may do, for the check
// at load and for a request alike. No paths are anywhere; no scopes are none.
func terms(paths, scopes []string) (authz.PathSet, authz.Scopes, error) {
	where := authz.AnyPath()
	if len(paths) > 0 {
		var err error
		if where, err = authz.ParsePathSet(paths); err != nil {
			return authz.PathSet{}, authz.Scopes{}, err
		}
	}
	what, err := authz.ParseScopes(scopes)
	if err != nil {
		return authz.PathSet{}, authz.Scopes{}, err
	}
	return where, what, nil
}

// sharedTerms keeps each pair of lists that many keys have once, compiled, so
// that a row has only its number. One goroutine adds, any number look up.
type sharedTerms struct {
	compiled atomic.Pointer[[]*compiledTerms]
	numbers  map[string]uint16 // the writer's own
	encoded  []byte
}

type compiledTerms struct {
	paths  authz.PathSet
	scopes authz.Scopes
}

const (
	// ownTerms is the number of a row whose lists stand in the row itself.
	ownTerms = 0
	// maxShared bounds what is shared where every key has other lists.
	maxShared = 8192
)

func newSharedTerms() *sharedTerms {
	t := &sharedTerms{numbers: map[string]uint16{}}
	t.compiled.Store(&[]*compiledTerms{nil})
	return t
}

// number checks a line's lists and gives them a number, if one is left.
func (t *sharedTerms) number(k *keyLine) (uint16, error) {
	t.encoded = appendTexts(appendTexts(t.encoded[:0], k.paths), k.scopes)
	if n, known := t.numbers[string(t.encoded)]; known {
		return n, nil
	}
	paths, scopes, err := terms(stringsOf(k.paths), stringsOf(k.scopes))
	if err != nil {
		return ownTerms, errTerms
	}
	old := *t.compiled.Load()
	if len(old) > maxShared {
		return ownTerms, nil
	}
	// Appending within the capacity leaves what readers see as it is.
	all := append(old, &compiledTerms{paths, scopes})
	t.compiled.Store(&all)
	n := uint16(len(all) - 1)
	t.numbers[string(t.encoded)] = n
	return n, nil
}

func (t *sharedTerms) get(n uint16) *compiledTerms { return (*t.compiled.Load())[n] }
