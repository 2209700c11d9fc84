package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"keyward/config/strictyaml"
)

// oneOrMore reads a name, or a list of names that differ in their form. what is
// the kind of name, for messages.
func (d *decoder) oneOrMore(to *[]string, what string, check func(string) error, form func(string) string) strictyaml.Field {
	return func(v strictyaml.Value) {
		switch v.Kind {
		case yaml.SequenceNode:
			d.List(to, check)(v)
			d.reportTwice(v, *to, form)
			*to = slices.DeleteFunc(*to, func(name string) bool { return name == "" }) // which were refused
		case yaml.ScalarNode:
			var name string
			if d.Checked(&name, check)(v); name != "" {
				*to = []string{name}
			}
		default:
			d.Wrong(v, what+", or a list of them")
		}
	}
}

// reportTwice reports each element of a list whose form is that of an earlier
// one. Elements that were refused are empty.
func (d *decoder) reportTwice(v strictyaml.Value, texts []string, form func(string) string) {
	seen := map[string]bool{}
	for i, text := range texts {
		if seen[form(text)] && text != "" {
			element := v.Element(i)
			d.Report(element.Line, "%s: %s is in the list twice; remove one of them", v.Name, d.Shown(element))
		}
		seen[form(text)] = true
	}
}

func asWritten(text string) string { return text }
