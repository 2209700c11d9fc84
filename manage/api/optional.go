package api

import (
	"bytes"
	"encoding/json"
	"reflect"

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
