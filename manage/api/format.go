package api

import (
	"encoding/json"

	"keyward/manage/gate"
	"keyward/manage/problem"
	"keyward/verifier/strictjson"

	"github.com/danielgtaylor/huma/v2"
)

// Limits of a body.
const (
	maxBody    = gate.MaxBody
	maxDepth   = 8
	maxMembers = 1000
)

// strictFormat is JSON that is read strictly: exactly one object, without members
// that are there twice, so that no two programs read it differently.
func strictFormat() huma.Format {
	format := huma.DefaultJSONFormat
	format.Unmarshal = func(data []byte, into any) error {
		if _, err := strictjson.Object(data, strictjson.Limits{Depth: maxDepth, Members: maxMembers}); err != nil {
			return problem.ErrMalformed
		}
		return json.Unmarshal(data, into)
	}
	return format
}
