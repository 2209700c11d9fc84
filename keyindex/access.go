package keyindex

import (
	"errors"
	"sync/atomic"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/store"
)

var errAccess = errors.New("an invalid path or scope")

// internedAccess keeps the paths and scopes that many keys have once, compiled,
// so that a row has only their number. One goroutine adds, any number look up.
type internedAccess struct {
	compiled atomic.Pointer[[]*accessRules]
	numbers  map[string]uint16 // the writer's own
	encoded  []byte
}

type accessRules struct {
	paths  urlpath.Set
	scopes authz.Scopes
}

const (
	// inlineAccess is the number of a row that has its paths and scopes itself.
	inlineAccess = 0
	// maxInterned bounds what is shared if every key has other paths and scopes.
	maxInterned = 8192
)

func newInternedAccess() *internedAccess {
	t := &internedAccess{numbers: map[string]uint16{}}
	t.compiled.Store(&[]*accessRules{nil})
	return t
}

// number checks a record's paths and scopes and gives them a number, if one is
// left.
func (t *internedAccess) number(paths, scopes []string) (uint16, error) {
	t.encoded = appendTexts(appendTexts(t.encoded[:0], paths), scopes)
	if n, known := t.numbers[string(t.encoded)]; known {
		return n, nil
	}
	key := string(t.encoded)
	d := rowDecoder{rest: key} // whose texts outlive the record's
	where, what, err := store.CompileAccess(d.list(), d.list())
	if err != nil {
		return inlineAccess, errAccess
	}
	old := *t.compiled.Load()
	if len(old) > maxInterned {
		return inlineAccess, nil
	}
	// Appending within the capacity leaves what readers see as it is.
	all := append(old, &accessRules{where, what})
	t.compiled.Store(&all)
	n := uint16(len(all) - 1)
	t.numbers[key] = n
	return n, nil
}

func (t *internedAccess) get(n uint16) *accessRules { return (*t.compiled.Load())[n] }
