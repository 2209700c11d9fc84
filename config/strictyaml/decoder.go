// Package strictyaml reads one YAML document into Go values, and collects all mistakes in it with
// their lines: unknown and duplicate keys, anchors, tags, second documents, values of another
// type. It expands environment variables, and never shows their values.
package strictyaml

import (
	"fmt"
	"slices"

	"keyward/config/spelling"

	"go.yaml.in/yaml/v3"
)

// Decoder reads a document and collects the mistakes in it.
type Decoder struct {
	file     string
	lines    int
	problems Problems
	warnings Problems
	// written has the values that contain environment variables, as the file
	// has them: the variables may have secrets, and are never shown.
	written map[*yaml.Node]string
	// reported has the nodes for which a problem is reported before they are
	// read, such as an unset variable. One problem per node is enough.
	reported map[*yaml.Node]bool
	// Expected, if not nil, is called with the keys or words that a value may
	// have. A test compares them with a published schema.
	Expected func(name string, as Expectation, words []string)
}

// New returns a Decoder of the content of the named file.
func New(file string) *Decoder {
	return &Decoder{file: file, written: map[*yaml.Node]string{}, reported: map[*yaml.Node]bool{}}
}

// Expectation says whether the words are a mapping's keys or a value's choices.
type Expectation string

// The names of both in a schema.
const (
	ExpectKeys  Expectation = "properties"
	ExpectWords Expectation = "enum"
)

func (d *Decoder) expect(v Value, as Expectation, words []string) {
	if d.Expected != nil {
		d.Expected(v.Name, as, words)
	}
}

// Count is how many problems were found so far.
func (d *Decoder) Count() int { return len(d.problems) }

// Written returns the value as the file has it, if it contains environment variables, and ""
// otherwise.
func (d *Decoder) Written(v Value) string { return d.written[v.Node] }

// Found returns the problems and the warnings, by line, and the values that came from the
// environment, which neither shows.
func (d *Decoder) Found() (problems, warnings Problems, env Environment) {
	env = environment(d.written)
	return d.problems.sortedAndHidden(env), d.warnings.sortedAndHidden(env), env
}

// Value is a node and its name in messages, such as cache.ttl.
type Value struct {
	*yaml.Node
	Name string
}

// Element returns an element of a list.
func (v Value) Element(i int) Value { return Value{v.Content[i], v.Name} }

// Field reads one value, or reports what is wrong with it.
type Field func(Value)

// Fields are the keys that a mapping may have, in the order in which they are
// read. It is independent of the order in the file, since some depend on
// others.
type Fields []struct {
	Key  string
	Read Field
}

func (f Fields) keys() []string {
	keys := make([]string, len(f))
	for i := range f {
		keys[i] = f[i].Key
	}
	return keys
}

// Report adds a problem. The YAML library may count one line too many for
// something that is missing at the end.
func (d *Decoder) Report(line int, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, min(line, d.lines), fmt.Sprintf(format, args...)})
}

// Warn adds a warning.
func (d *Decoder) Warn(line int, format string, args ...any) {
	d.warnings = append(d.warnings, Problem{d.file, line, fmt.Sprintf(format, args...)})
}

// Wrong reports that v is not what is wanted.
func (d *Decoder) Wrong(v Value, wanted string) {
	if d.reported[v.Node] {
		return
	}
	name := v.Name
	if name == "" {
		name = "the file"
	}
	d.Report(v.Line, "%s: want %s, not %s", name, wanted, d.Shown(v))
}

// Refuse reports another package's error about v. Its text may contain the
// value, so it is left out if the value came from the environment.
func (d *Decoder) Refuse(v Value, err error) {
	if d.reported[v.Node] {
		return
	}
	if written, ok := d.written[v.Node]; ok {
		d.Report(v.Line, "%s: what `%s` stands for can't be used here", v.Name, written)
		return
	}
	d.Report(v.Line, "%s: %v", v.Name, err)
}

// Shown returns v as messages show it: a scalar as the file has it, with the
// names of environment variables and not their values, and only the type of
// others.
func (d *Decoder) Shown(v Value) string {
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

// Mapping reads the keys of v with their fields.
func (d *Decoder) Mapping(v Value, known Fields) {
	d.expect(v, ExpectKeys, known.keys())
	if v.Kind != yaml.MappingNode {
		d.Wrong(v, "a mapping ({} for an empty one)")
		return
	}
	given := map[string]*yaml.Node{}
	for key, node := range Pairs(v.Node) {
		if d.reported[key] {
			continue
		}
		if given[key.Value] = node; !slices.Contains(known.keys(), key.Value) {
			d.unknown(key, known.keys())
		}
	}
	for _, f := range known {
		if node := given[f.Key]; node != nil {
			f.Read(Value{node, v.nameOf(f.Key)})
		}
	}
}

// nameOf returns the name of the value under one of v's keys.
func (v Value) nameOf(key string) string {
	if v.Name == "" {
		return key
	}
	return v.Name + "." + key
}

func (d *Decoder) unknown(key *yaml.Node, known []string) {
	if near := spelling.Suggest(key.Value, known); near != "" {
		d.Report(key.Line, "unknown key `%s`; did you mean `%s`?", truncate(key.Value), near)
		return
	}
	d.Report(key.Line, "unknown key `%s`", truncate(key.Value))
}

func truncate(s string) string {
	if len(s) > spelling.MaxWord {
		return s[:spelling.MaxWord] + "…"
	}
	return s
}

// Section returns the field of a mapping with the given keys.
func (d *Decoder) Section(known Fields) Field {
	return func(v Value) { d.Mapping(v, known) }
}

// Each reads the elements of a list.
func (d *Decoder) Each(v Value, read Field) {
	if v.Kind != yaml.SequenceNode {
		d.Wrong(v, "a list ([] for an empty one)")
		return
	}
	for i := range v.Content {
		read(v.Element(i))
	}
}

// Pairs iterates over the keys and values of a mapping.
func Pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}
