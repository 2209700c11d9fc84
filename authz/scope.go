package authz

import (
	"fmt"
	"slices"
	"strings"
)

// Scopes is a set of scope names, sorted. The zero value is the empty set: as
// what a principal holds it grants nothing, as what a route asks for it is met by
// all. It is one pointer, since each request copies some and a cache holds thousands.
type Scopes struct{ set *scopeSet }

type scopeSet struct {
	names  []string // one at least
	joined string
}

// ParseScopes makes a set of names that each are a scope-token by RFC 6749
// section 3.3. Repeated names count once.
func ParseScopes(names []string) (Scopes, error) {
	for _, name := range names {
		if !validScope(name) {
			return Scopes{}, fmt.Errorf("%q is no scope: a scope is visible ASCII without quote and backslash (RFC 6749 section 3.3)", name)
		}
	}
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	if len(sorted) == 0 {
		return Scopes{}, nil
	}
	return Scopes{&scopeSet{names: sorted, joined: strings.Join(sorted, " ")}}, nil
}

func validScope(name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// Contains reports whether every one of the wanted scopes is in the set.
func (s Scopes) Contains(wanted Scopes) bool {
	if wanted.set == nil || s.String() == wanted.String() {
		return true
	}
	for _, name := range wanted.set.names {
		if _, found := slices.BinarySearch(s.Names(), name); !found {
			return false
		}
	}
	return true
}

// Names returns the scopes in order. The slice must not be changed.
func (s Scopes) Names() []string {
	if s.set == nil {
		return nil
	}
	return s.set.names
}

// String is the set as OAuth writes it: sorted, separated by single spaces.
func (s Scopes) String() string {
	if s.set == nil {
		return ""
	}
	return s.set.joined
}
