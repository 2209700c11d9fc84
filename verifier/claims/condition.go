package claims

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"keyward/verifier/strictjson"
)

// Condition is what the operator requires of a claim: one of several values.
type Condition struct {
	path     Path
	patterns []pattern
}

// maxPattern bounds a value of a condition, in bytes.
const maxPattern = 255

var (
	errNoValues = errors.New("it has no values, so no token could have one of them")
	errPattern  = errors.New("a value has 1 to 255 bytes; * stands for any text")
)

// NewCondition returns the condition that the claim at the path has one of the
// values, in which * stands for any text.
func NewCondition(path string, values []string) (Condition, error) {
	p, err := ParsePath(path)
	if err != nil {
		return Condition{}, fmt.Errorf("claim %q: %w", path, err)
	}
	if len(values) == 0 {
		return Condition{}, fmt.Errorf("claim %q: %w", path, errNoValues)
	}
	c := Condition{path: p}
	for _, value := range values {
		if err := CheckValue(value); err != nil {
			return Condition{}, fmt.Errorf("claim %q: %w", path, err)
		}
		c.patterns = append(c.patterns, strings.Split(value, "*"))
	}
	return c, nil
}

// CheckValue returns why a condition cannot have the value.
func CheckValue(value string) error {
	if value == "" || len(value) > maxPattern {
		return errPattern
	}
	return nil
}

// Path returns the path of the claim.
func (c *Condition) Path() Path { return c.path }

// Satisfied reports whether the claim is present and has one of the values: as a
// text, as the decimal digits of a whole number, as true or false, or as one
// element of a list. It also returns the claim. In an outline, a claim that is
// not parsed yet passes.
func (c *Condition) Satisfied(members map[string]any) (value any, present, holds bool) {
	value, present = c.path.Lookup(members)
	if !present {
		return nil, false, false
	}
	switch v := value.(type) {
	case strictjson.Nested:
		return value, true, true
	case []any:
		for _, element := range v {
			if c.matches(element) {
				return value, true, true
			}
		}
		return value, true, false
	default:
		return value, true, c.matches(value)
	}
}

func (c *Condition) matches(value any) bool {
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case json.Number:
		if text = string(v); !isInteger(text) {
			return false
		}
	case bool:
		text = "false"
		if v {
			text = "true"
		}
	default:
		return false
	}
	for _, p := range c.patterns {
		if p.matches(text) {
			return true
		}
	}
	return false
}

// pattern is a value, split at its asterisks.
type pattern []string

// matches reports whether the text is the pattern with some text, possibly none,
// in place of each asterisk. It takes the first place for each part, so its work
// grows with the length of the text and never with its combinations.
func (p pattern) matches(text string) bool {
	last := len(p) - 1
	if last == 0 {
		return text == p[0]
	}
	rest, ok := strings.CutPrefix(text, p[0])
	if !ok {
		return false
	}
	for _, part := range p[1:last] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, p[last])
}
