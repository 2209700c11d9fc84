package authz

import (
	"fmt"
	"slices"
	"strings"
)

// Scopes is a sorted set of scope names. The zero value is the empty set: it
// grants a principal nothing, and a route that requires it is open to all. It
// is one pointer, since each request copies some and a cache holds thousands.
type Scopes struct{ set *scopeSet }

type scopeSet struct {
	names  []string // at least one
	joined string
}

// ParseScopes returns the set of the names. Each must be a scope-token (RFC
// 6749 section 3.3). Repeated names count once.
func ParseScopes(names []string) (Scopes, error) {
	for _, name := range names {
		if !IsScope(name) {
			return Scopes{}, fmt.Errorf("%q is not a scope: a scope is visible ASCII without quote and backslash (RFC 6749 section 3.3)", name)
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

// IsScope reports whether the name is a scope-token (RFC 6749 section 3.3) of at
// most 255 bytes.
func IsScope(name string) bool {
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

// Contains reports whether all wanted scopes are in the set.
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

// Within returns the scopes that are in the bound too.
func (s Scopes) Within(bound Scopes) Scopes {
	if bound.Contains(s) {
		return s
	}
	var kept []string
	for _, name := range s.Names() {
		if _, found := slices.BinarySearch(bound.Names(), name); found {
			kept = append(kept, name)
		}
	}
	within, _ := ParseScopes(kept) // which were scopes before
	return within
}

// Names returns the scopes in order. The caller must not change the slice.
func (s Scopes) Names() []string {
	if s.set == nil {
		return nil
	}
	return s.set.names
}

// String returns the set as OAuth writes it: sorted, separated by single
// spaces.
func (s Scopes) String() string {
	if s.set == nil {
		return ""
	}
	return s.set.joined
}
