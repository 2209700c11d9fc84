package config

import (
	"fmt"
	"slices"

	"keyward/config/spelling"

	"go.yaml.in/yaml/v3"
)

// decoder reads a document and collects the mistakes in it.
type decoder struct {
	file     string
	lines    int
	problems Problems
	warnings Problems
	files    []File // in the order in which they were read
	// written has the values that contain environment variables, as the file
	// has them: the variables may have secrets, and are never shown.
	written map[*yaml.Node]string
	// reported has the nodes for which a problem is reported before they are
	// read, such as an unset variable. One problem per node is enough.
	reported map[*yaml.Node]bool
	// expected, if not nil, is called with the keys or words that a value may
	// have. A test compares them with the published schema.
	expected func(name string, as expectation, words []string)
}

// expectation says whether the words are a mapping's keys or a value's choices.
type expectation string

const (
	expectKeys  expectation = "properties"
	expectWords expectation = "enum"
)

func (d *decoder) expect(v value, as expectation, words []string) {
	if d.expected != nil {
		d.expected(v.name, as, words)
	}
}

// value is a node and its name in messages, such as cache.ttl.
type value struct {
	*yaml.Node
	name string
}

// field reads one value, or reports what is wrong with it.
type field func(value)

// fields are the keys that a mapping may have, in the order in which they are
// read. It is independent of the order in the file, since some depend on
// others.
type fields []struct {
	key  string
	read field
}

func (f fields) keys() []string {
	keys := make([]string, len(f))
	for i := range f {
		keys[i] = f[i].key
	}
	return keys
}

// problem adds a problem. The YAML library may count one line too many for
// something that is missing at the end.
func (d *decoder) problem(line int, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, min(line, d.lines), fmt.Sprintf(format, args...)})
}

func (d *decoder) warn(line int, format string, args ...any) {
	d.warnings = append(d.warnings, Problem{d.file, line, fmt.Sprintf(format, args...)})
}

// wrong reports that v is not what is wanted.
func (d *decoder) wrong(v value, wanted string) {
	if d.reported[v.Node] {
		return
	}
	name := v.name
	if name == "" {
		name = "the file"
	}
	d.problem(v.Line, "%s: want %s, not %s", name, wanted, d.shown(v))
}

// refuse reports another package's error about v. Its text may contain the
// value, so it is left out if the value came from the environment.
func (d *decoder) refuse(v value, err error) {
	if d.reported[v.Node] {
		return
	}
	if written, ok := d.written[v.Node]; ok {
		d.problem(v.Line, "%s: what `%s` stands for can't be used here", v.name, written)
		return
	}
	d.problem(v.Line, "%s: %v", v.name, err)
}

// shown returns v as messages show it: a scalar as the file has it, and only
// the type of others.
func (d *decoder) shown(v value) string {
	if written, ok := d.written[v.Node]; ok {
		return "what `" + written + "` stands for"
	}
	switch {
	case v.Kind == yaml.MappingNode:
		return "a mapping"
	case v.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(v.Node):
		return "nothing"
	case len(v.Value) > spelling.MaxWord:
		return "a text this long"
	default:
		return fmt.Sprintf("%q", v.Value)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// mapping reads the keys of v with their fields.
func (d *decoder) mapping(v value, known fields) {
	d.expect(v, expectKeys, known.keys())
	if v.Kind != yaml.MappingNode {
		d.wrong(v, "a mapping ({} for an empty one)")
		return
	}
	given := map[string]*yaml.Node{}
	for key, node := range pairs(v.Node) {
		if d.reported[key] {
			continue
		}
		if given[key.Value] = node; !slices.Contains(known.keys(), key.Value) {
			d.unknown(key, known.keys())
		}
	}
	for _, f := range known {
		if node := given[f.key]; node != nil {
			f.read(value{node, v.nameOf(f.key)})
		}
	}
}

// nameOf returns the name of the value under one of v's keys.
func (v value) nameOf(key string) string {
	if v.name == "" {
		return key
	}
	return v.name + "." + key
}

func (d *decoder) unknown(key *yaml.Node, known []string) {
	if near := spelling.Suggest(key.Value, known); near != "" {
		d.problem(key.Line, "unknown key `%s`; did you mean `%s`?", truncate(key.Value), near)
		return
	}
	d.problem(key.Line, "unknown key `%s`", truncate(key.Value))
}

func truncate(s string) string {
	if len(s) > spelling.MaxWord {
		return s[:spelling.MaxWord] + "…"
	}
	return s
}

// section returns the field of a mapping with the given keys.
func (d *decoder) section(known fields) field {
	return func(v value) { d.mapping(v, known) }
}

// each reads the elements of a list.
func (d *decoder) each(v value, read field) {
	if v.Kind != yaml.SequenceNode {
		d.wrong(v, "a list ([] for an empty one)")
		return
	}
	for _, element := range v.Content {
		read(value{element, v.name})
	}
}

// pairs iterates over the keys and values of a mapping.
func pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}
