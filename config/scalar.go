package config

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

// text reads one line of printable text.
func (d *decoder) text(to *string) field {
	return func(v value) {
		if text, ok := d.readText(v); ok {
			*to = text
		}
	}
}

func (d *decoder) readText(v value) (string, bool) {
	_, fromEnv := d.written[v.Node]
	switch {
	case v.Kind != yaml.ScalarNode || isNull(v.Node) && !fromEnv:
		d.wrong(v, "a text")
		return "", false
	case !fromEnv && v.ShortTag() != "!!str":
		d.problem(v.Line, "%s: want a text; write %q with its quotes", v.name, v.Value)
		return "", false
	case strings.ContainsFunc(v.Value, unicode.IsControl) || !utf8.ValidString(v.Value):
		d.problem(v.Line, "%s: want one line of text without control characters", v.name)
		return "", false
	}
	return v.Value, true
}

// checked reads a text that check accepts.
func (d *decoder) checked(to *string, check func(string) error) field {
	return func(v value) {
		text, ok := d.readText(v)
		if !ok {
			return
		}
		if err := check(text); err != nil {
			d.refuse(v, err)
			return
		}
		*to = text
	}
}

// list reads a list of texts that check accepts. It replaces the default
// entirely.
func (d *decoder) list(to *[]string, check func(string) error) field {
	return func(v value) {
		texts := []string{}
		d.each(v, func(element value) {
			var text string
			d.checked(&text, check)(element)
			texts = append(texts, text)
		})
		*to = texts
	}
}

func (d *decoder) boolean(to *bool) field {
	return func(v value) {
		// Other words, such as yes and on, mean different things to different
		// parsers.
		if v.Kind != yaml.ScalarNode || v.Value != "true" && v.Value != "false" || !d.isUnquoted(v) {
			d.wrong(v, "true or false")
			return
		}
		*to = v.Value == "true"
	}
}

// isUnquoted reports whether v may be a number or a boolean: it has no quotes,
// or comes from the environment.
func (d *decoder) isUnquoted(v value) bool {
	_, fromEnv := d.written[v.Node]
	return fromEnv || v.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

// number reads a decimal integer in the given range.
func (d *decoder) number(to *int, least, maximum int) field {
	return func(v value) {
		n, err := strconv.Atoi(v.Value)
		if v.Kind != yaml.ScalarNode || !d.isUnquoted(v) || err != nil || strconv.Itoa(n) != v.Value || n < least || n > maximum {
			d.wrong(v, "a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(maximum))
			return
		}
		*to = n
	}
}

// duration reads a positive duration. If optional, "" means 0.
func (d *decoder) duration(to *time.Duration, optional bool) field {
	return func(v value) {
		if optional && v.Kind == yaml.ScalarNode && !isNull(v.Node) && v.Value == "" {
			*to = 0
			return
		}
		parsed, err := ParseDuration(v.Value)
		if v.Kind != yaml.ScalarNode || err != nil || parsed <= 0 {
			d.wrong(v, "a time as 90s, 5m, 24h or 90d, above zero")
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

// choice reads one of the words and sets the value that it stands for.
func choice[T any](d *decoder, to *T, words map[string]T) field {
	names := slices.Sorted(maps.Keys(words))
	return func(v value) {
		d.expect(v, expectWords, names)
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
func (d *decoder) wrongWord(v value, words []string) {
	wanted := "one of " + strings.Join(words, ", ")
	if _, fromEnv := d.written[v.Node]; !fromEnv && v.Kind == yaml.ScalarNode {
		if near := spelling.Suggest(v.Value, words); near != "" {
			d.problem(v.Line, "%s: want %s, not %s; did you mean `%s`?", v.name, wanted, d.shown(v), near)
			return
		}
	}
	d.wrong(v, wanted)
}
