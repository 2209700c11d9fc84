package api

import (
	"encoding/json"
	"reflect"

	"keyward/manage"
	"keyward/store"

	"github.com/danielgtaylor/huma/v2"
)

// KeyBody is a key in a response.
type KeyBody struct {
	manage.KeyView
	Paused pause  `json:"paused" doc:"Since when the checks refuse the key, by whom and why; null for a key that is not paused."`
	ETag   string `json:"etag" doc:"The version of the record, for If-Match. Use of the key does not change it."`
	// SecretShown is false in place of the secret, if an earlier answer had that.
	SecretShown *bool `json:"secret_shown,omitempty" doc:"false where the request made a secret that only its first answer has."`
}

// pause is the pause of a key, or null.
type pause struct{ *store.Pause }

// MarshalJSON implements json.Marshaler.
func (p pause) MarshalJSON() ([]byte, error) { return json.Marshal(p.Pause) }

// Schema implements huma.SchemaProvider. huma has no null beside an object.
func (p pause) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{r.Schema(reflect.TypeFor[store.Pause](), true, "Pause"), {Type: "null"}}}
}
