package strictyaml

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"keyward/config/spelling"

	"go.yaml.in/yaml/v3"
)

// Text reads one line of printable text.
func (d *Decoder) Text(to *string) Field {
	return func(v Value) {
		if text, ok := d.ReadText(v); ok {
			*to = text
		}
	}
}

// ReadText returns a text, or reports what is wrong with it.
func (d *Decoder) ReadText(v Value) (string, bool) {
	_, fromEnv := d.written[v.Node]
	switch {
	case v.Kind != yaml.ScalarNode || isNull(v.Node) && !fromEnv:
		d.Wrong(v, "a text")
		return "", false
	case !fromEnv && v.ShortTag() != "!!str":
		d.Report(v.Line, "%s: want a text; write %q with its quotes", v.Name, v.Value)
		return "", false
	case strings.ContainsFunc(v.Value, unicode.IsControl) || !utf8.ValidString(v.Value):
		d.Report(v.Line, "%s: want one line of text without control characters", v.Name)
		return "", false
	}
	return v.Value, true
}

// Checked reads a text that check accepts.
func (d *Decoder) Checked(to *string, check func(string) error) Field {
	return func(v Value) {
		text, ok := d.ReadText(v)
		if !ok {
			return
		}
		if err := check(text); err != nil {
			d.Refuse(v, err)
			return
		}
		*to = text
	}
}

// List reads a list of texts that check accepts. It replaces the default
// entirely.
func (d *Decoder) List(to *[]string, check func(string) error) Field {
	return func(v Value) {
		texts := []string{}
		d.Each(v, func(element Value) {
			var text string
			d.Checked(&text, check)(element)
			texts = append(texts, text)
		})
		*to = texts
	}
}

// Boolean reads true or false.
func (d *Decoder) Boolean(to *bool) Field {
	return func(v Value) {
		// Other words, such as yes and on, mean different things to different
		// parsers.
		if v.Kind != yaml.ScalarNode || v.Value != "true" && v.Value != "false" || !d.IsUnquoted(v) {
			d.Wrong(v, "true or false")
			return
		}
		*to = v.Value == "true"
	}
}

// IsUnquoted reports whether v may be a number or a boolean: it has no quotes,
// or comes from the environment.
func (d *Decoder) IsUnquoted(v Value) bool {
	_, fromEnv := d.written[v.Node]
	return fromEnv || v.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

// Number reads a decimal integer in the given range.
func (d *Decoder) Number(to *int, least, maximum int) Field {
	return func(v Value) {
		n, err := strconv.Atoi(v.Value)
		if v.Kind != yaml.ScalarNode || !d.IsUnquoted(v) || err != nil || strconv.Itoa(n) != v.Value || n < least || n > maximum {
			d.Wrong(v, "a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(maximum))
			return
		}
		*to = n
	}
}

// Duration reads a positive duration. If optional, "" means 0.
func (d *Decoder) Duration(to *time.Duration, optional bool) Field {
	return func(v Value) {
		if optional && v.Kind == yaml.ScalarNode && !isNull(v.Node) && v.Value == "" {
			*to = 0
			return
		}
		parsed, err := ParseDuration(v.Value)
		if v.Kind != yaml.ScalarNode || err != nil || parsed <= 0 {
			d.Wrong(v, "a time as 90s, 5m, 24h or 90d, above zero")
			return
		}
		*to = parsed
	}
}

var errDuration = errors.New("want a time as 90s, 5m, 24h or 90d")

// ParseDuration parses what time.ParseDuration does, and an integer with "d"
// for days of 24 hours.
func ParseDuration(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 31)
		if err != nil || time.Duration(n) > (1<<63-1)/day {
			return 0, errDuration
		}
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errDuration
	}
	return d, nil
}

// Choice reads one of the words and sets the value that it stands for.
func Choice[T any](d *Decoder, to *T, words map[string]T) Field {
	names := slices.Sorted(maps.Keys(words))
	return func(v Value) {
		d.expect(v, ExpectWords, names)
		if v.Kind == yaml.ScalarNode {
			if chosen, ok := words[v.Value]; ok {
				*to = chosen
				return
			}
		}
		d.wrongWord(v, names)
	}
}

// wrongWord reports that v is none of the words, and suggests one of them.
func (d *Decoder) wrongWord(v Value, words []string) {
	wanted := "one of " + strings.Join(words, ", ")
	if _, fromEnv := d.written[v.Node]; !fromEnv && v.Kind == yaml.ScalarNode {
		if near := spelling.Suggest(v.Value, words); near != "" {
			d.Report(v.Line, "%s: want %s, not %s; did you mean `%s`?", v.Name, wanted, d.Shown(v), near)
			return
		}
	}
	d.Wrong(v, wanted)
}
