package config

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// envValue is the text of a value in which environment variables stand, and
// how the file writes it.
type envValue struct{ text, written string }

// minHidden is how long a value must be to be hidden in any text: shorter ones
// are part of ordinary words, and no secret that is one.
const minHidden = 8

func envValues(written map[*yaml.Node]string) []envValue {
	var values []envValue
	for node, text := range written {
		if len(node.Value) >= minHidden {
			values = append(values, envValue{node.Value, text})
		}
	}
	slices.SortFunc(values, func(a, b envValue) int { // one may be part of another
		if a, b := len(a.text), len(b.text); a != b {
			return b - a
		}
		return strings.Compare(a.text, b.text)
	})
	return values
}

// hideValues puts what the file has in the place of each value, which may be a
// secret that was put where a file's name belongs.
func hideValues(text string, values []envValue) string {
	for _, v := range values {
		quoted := strconv.Quote(v.text)
		text = strings.ReplaceAll(text, quoted, "`"+v.written+"`")
		text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], v.written)
		text = strings.ReplaceAll(text, v.text, v.written)
	}
	return text
}

// HideEnv returns err, which came of using the configuration, with a text that
// shows no value from the environment, but which variable it is of.
func (c *Config) HideEnv(err error) error {
	if err == nil {
		return nil
	}
	if text := hideValues(err.Error(), c.env); text != err.Error() {
		return hiddenError{text, err}
	}
	return err
}

// hiddenError is an error under another text.
type hiddenError struct {
	text string
	err  error
}

func (e hiddenError) Error() string { return e.text }
func (e hiddenError) Unwrap() error { return e.err }
