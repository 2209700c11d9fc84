package strictyaml

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"keyward/chars"
	"keyward/config/spelling"
)

// Document parses data and returns the root of its one document, nil if that is
// not possible. It reports valid YAML that a configuration must not contain:
// anchors, tags, duplicate keys, a second document.
func (d *Decoder) Document(data []byte, getenv func(string) (string, bool)) *yaml.Node {
	d.lines = 1 + bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if line := firstBadByte(data); line > 0 {
		d.Report(line, "not a text in UTF-8, or a control character in it")
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && isNull(doc.Content[0]):
		// A file truncated by a full disk must not turn into the defaults.
		d.Report(0, "the file is empty; write {} for the defaults")
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		d.Report(second.Line, "a second document; there can be one only")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	root := doc.Content[0]
	d.inspect(root, getenv)
	return root
}

// firstBadByte returns the line of the first byte that is not text, 0 if all
// are. A character that ends a line in YAML and not in editors is not text:
// line numbers must mean the same in both.
func firstBadByte(data []byte) int {
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		switch {
		case c == '\t' || c == '\n' || c == '\r' && bytes.HasPrefix(data[i+1:], []byte("\n")):
		case c == utf8.RuneError && size <= 1 || chars.BreaksLine(c):
			return 1 + bytes.Count(data[:i], []byte("\n"))
		}
		i += size
	}
	return 0
}

var syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax reports an error of the YAML library. Its parser, unlike its scanner,
// counts lines from 0, and leaves out a line number of 0.
func (d *Decoder) syntax(err error) {
	parts := syntaxError.FindStringSubmatch(err.Error())
	if parts == nil {
		d.Report(0, "not YAML")
		return
	}
	line, _ := strconv.Atoi(parts[1])
	message := parts[2]
	switch {
	case strings.HasSuffix(message, "',' or '}'"):
		line++
		message += "; a value that has a brace needs quotes"
	case strings.HasPrefix(message, "did not find expected"):
		line++
	case strings.HasPrefix(message, "unknown anchor"):
		message = "anchors and aliases are not read here"
	}
	d.Report(line, "not YAML: %s", message)
}

// inspect checks every node before any is read, and expands the environment
// variables.
func (d *Decoder) inspect(n *yaml.Node, getenv func(string) (string, bool)) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.Report(n.Line, "anchors and aliases are not read here")
		d.reported[n] = true
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.Report(n.Line, "tags are not read here")
	}
	switch n.Kind {
	case yaml.MappingNode:
		d.inspectKeys(n)
		for _, node := range Pairs(n) {
			d.inspect(node, getenv)
		}
	case yaml.SequenceNode:
		for _, element := range n.Content {
			d.inspect(element, getenv)
		}
	case yaml.ScalarNode:
		d.expand(n, getenv)
	}
}

// inspectKeys reports keys that are not plain text, and duplicate keys.
func (d *Decoder) inspectKeys(n *yaml.Node) {
	first := map[string]int{}
	for key := range Pairs(n) {
		switch line, again := first[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 || key.ShortTag() == "!!merge":
			d.Report(key.Line, "a key must be a plain word")
			d.reported[key] = true
		case again:
			d.Report(key.Line, "key `%s` stands on line %d already", truncate(key.Value), line)
			d.reported[key] = true
		default:
			first[key.Value] = key.Line
		}
	}
}

var variable = regexp.MustCompile(`\$\{[^}]*\}?`)

// expand replaces each ${NAME} by its value.
func (d *Decoder) expand(n *yaml.Node, getenv func(string) (string, bool)) {
	if !strings.Contains(n.Value, "${") {
		return
	}
	written := n.Value
	n.Value = variable.ReplaceAllStringFunc(written, func(reference string) string {
		name, closed := strings.CutSuffix(reference[2:], "}")
		if !closed || !isVariableName(name) {
			d.Report(n.Line, "`${` begins the name of an environment variable, as in ${NAME}")
			d.reported[n] = true
			return ""
		}
		text, set := getenv(name)
		if !set {
			d.Report(n.Line, "environment variable %s is not set", name)
			d.reported[n] = true
		}
		return text
	})
	d.written[n] = truncate(written)
}

func isVariableName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= spelling.MaxWord
}
