package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// optional is a member of a merge patch (RFC 7396): it may be left out, and null
// removes what is there, which leaves the zero value.
type optional[T any] struct {
	sent  bool
	value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *optional[T]) UnmarshalJSON(text []byte) error {
	o.sent = true
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	return json.Unmarshal(text, &o.value)
}

// Schema implements huma.SchemaProvider.
func (o optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = true
	return &s
}

// changed is a member of a merge patch that cannot be removed: it may be left out, and
// null is invalid.
type changed[T any] struct {
	value *T // nil: left out
	null  bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *changed[T]) UnmarshalJSON(text []byte) error {
	c.null = bytes.Equal(text, []byte("null"))
	if c.null {
		return nil
	}
	c.value = new(T)
	return json.Unmarshal(text, c.value)
}

// Schema implements huma.SchemaProvider.
func (c changed[T]) Schema(r huma.Registry) *huma.Schema {
	s := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = false
	return &s
}

func (c changed[T]) removed() bool { return c.null }

// member is a member of a merge patch that may not be removed.
type member interface{ removed() bool }

// cannotRemove returns the problem of the first member that is null and must not be:
// huma takes the null of an optional member for its absence.
func cannotRemove(members map[string]member) error {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if members[name].removed() {
			return invalid("/"+name, "cannot be removed")
		}
	}
	return nil
}
