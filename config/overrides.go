package config

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"keyward/authz/overrides"
	"keyward/chars"
	"keyward/config/spelling"
	"keyward/config/strictyaml"
)

// upstreamOverrides reads which headers are removed on an allow: the word
// remove or pass, or a mapping with those that are kept.
func (d *decoder) upstreamOverrides(v strictyaml.Value, cfg *Config) {
	if v.Kind == yaml.ScalarNode {
		strictyaml.Choice(d.Decoder, &cfg.UpstreamOverrides, map[string][]string{"remove": overrides.Headers(), "pass": nil})(v)
		return
	}
	var kept []string
	d.Mapping(v, strictyaml.Fields{{"keep", d.List(&kept, validOverride)}})
	cfg.UpstreamOverrides = slices.DeleteFunc(overrides.Headers(), func(name string) bool {
		return slices.ContainsFunc(kept, func(keep string) bool { return chars.LowerASCII(keep) == name })
	})
}

// validOverride accepts only names in the list, since all others are kept
// anyway.
func validOverride(name string) error {
	known := overrides.Headers()
	if slices.Contains(known, chars.LowerASCII(name)) {
		return nil
	}
	if near := spelling.Suggest(name, known); near != "" {
		return fmt.Errorf("%q is not one of the headers that are removed; did you mean `%s`?", name, near)
	}
	return fmt.Errorf("%q is not one of the headers that are removed", name)
}
