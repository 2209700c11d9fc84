// Package mergepatch has the members of a JSON merge patch (RFC 7396): what was left out,
// what was given, and what null removes.
package mergepatch

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// Removable is a member of a merge patch (RFC 7396): it may be left out, and null
// removes what is there, which leaves the zero value.
type Removable[T any] struct {
	Sent  bool
	Value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Removable[T]) UnmarshalJSON(text []byte) error {
	m.Sent = true
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	return json.Unmarshal(text, &m.Value)
}

// Schema implements huma.SchemaProvider.
func (m Removable[T]) Schema(r huma.Registry) *huma.Schema {
	s := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = true
	return &s
}

// Kept is a member of a merge patch that cannot be removed: it may be left out, and
// null is invalid.
type Kept[T any] struct {
	Value *T // nil: left out
	null  bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Kept[T]) UnmarshalJSON(text []byte) error {
	m.null = bytes.Equal(text, []byte("null"))
	if m.null {
		return nil
	}
	m.Value = new(T)
	return json.Unmarshal(text, m.Value)
}

// Schema implements huma.SchemaProvider.
func (m Kept[T]) Schema(r huma.Registry) *huma.Schema {
	s := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = false
	return &s
}

func (m Kept[T]) removed() bool { return m.null }

// Member is a Kept of any type.
type Member interface{ removed() bool }

// Removed returns the name of a member that is null and must not be, "" if there is none:
// huma takes the null of an optional member for its absence.
func Removed(members map[string]Member) string {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if members[name].removed() {
			return name
		}
	}
	return ""
}
