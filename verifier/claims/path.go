package claims

import (
	"errors"
	"strconv"
	"strings"

	"keyward/verifier/strictjson"
)

// Path locates a claim. It is a JSON pointer (RFC 6901) if it begins with a
// slash. Otherwise it is a member of that exact name, or else, split at its
// dots, a member of nested objects.
type Path struct {
	name    string
	parts   []string // nil: the member called name
	pointer bool
}

// maxPath bounds the text of a path, in bytes.
const maxPath = 255

var (
	errPathLength   = errors.New("want the name of a claim, of 1 to 255 bytes")
	errPathEscape   = errors.New("in a JSON pointer (RFC 6901) each ~ is followed by 0 or 1: write ~0 for ~, and ~1 for / within a name")
	errPathEmpty    = errors.New("a JSON pointer has no empty part: write /a/b, without a / at the end or twice in a row")
	errPathFragment = errors.New("write a JSON pointer without the #: /a/b")
	errPathDollar   = errors.New("JSONPath is not supported: write a JSON pointer, /a/b, or a dotted path, a.b")
)

// ParsePath parses the text of a path.
func ParsePath(text string) (Path, error) {
	switch {
	case text == "" || len(text) > maxPath:
		return Path{}, errPathLength
	case strings.HasPrefix(text, "#/"):
		return Path{}, errPathFragment
	case strings.HasPrefix(text, "$.") || strings.HasPrefix(text, "$["):
		return Path{}, errPathDollar
	case text[0] == '/':
		return parsePointer(text)
	}
	p := Path{name: text}
	if parts := strings.Split(text, "."); len(parts) > 1 {
		p.parts = parts
	}
	return p, nil
}

func parsePointer(text string) (Path, error) {
	parts := strings.Split(text[1:], "/")
	for i, part := range parts {
		if part == "" {
			return Path{}, errPathEmpty
		}
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(part), "~") {
			return Path{}, errPathEscape
		}
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~") // in this order: section 4
	}
	if len(parts) == 1 {
		return Path{name: parts[0]}, nil
	}
	return Path{name: text, parts: parts, pointer: true}, nil
}

// String returns the path as it was written, except that a pointer to a member
// of the claims themselves is that member's name.
func (p Path) String() string { return p.name }

// Is reports whether the path is that of the member of the claims themselves.
func (p Path) Is(member string) bool { return p.parts == nil && p.name == member }

// Lookup returns the claim, if it is present. If something on the path to it
// has no members, the value is nil, which is of the wrong type for every claim.
// In an outline the value is strictjson.Nested if it is in a part that is not
// parsed.
func (p Path) Lookup(members map[string]any) (value any, present bool) {
	if !p.pointer {
		value, present = members[p.name]
		if present || p.parts == nil {
			return value, present
		}
	}
	value = members
	for _, part := range p.parts {
		switch container := value.(type) {
		case map[string]any:
			value, present = container[part]
		case []any:
			value, present = p.element(container, part)
		case strictjson.Nested:
			return container, true
		default:
			return nil, true
		}
		if !present {
			return nil, false
		}
	}
	return value, true
}

// element returns an element of a list, which only a pointer can locate.
func (p Path) element(list []any, part string) (value any, present bool) {
	if !p.pointer {
		return nil, true
	}
	index, err := strconv.ParseUint(part, 10, 31)
	if err != nil || strconv.FormatUint(index, 10) != part || index >= uint64(len(list)) {
		return nil, false
	}
	return list[index], true
}
