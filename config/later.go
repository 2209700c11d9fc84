package config

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// What the configuration has names for and this version does nothing about. An
// option that did nothing in silence would be taken for one that protects.
const noLimits = "limits no rates"

// notYet reads a key of later work: empty, or as off says, it is fine.
func (r *reader) notYet(thisVersion string, off ...string) field {
	return func(v value) {
		empty := v.Kind != yaml.ScalarNode && len(v.Content) == 0 || v.Kind == yaml.ScalarNode && !isNull(v.Node) && v.Value == ""
		if empty || v.Kind == yaml.ScalarNode && slices.Contains(off, v.Value) {
			return
		}
		r.problem(v.Line, "%s: not in this version: this version %s", v.name, thisVersion)
	}
}

func (r *reader) rateLimits() field {
	return r.section(fields{
		{"store", r.notYet(noLimits, "memory")},
		{"api_key", r.notYet(noLimits)},
		{"basic", r.notYet(noLimits)},
		{"oauth", r.notYet(noLimits)},
		{"jwt", r.notYet(noLimits)},
	})
}
