package config

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// envValue is a value that contains environment variables, expanded and as the
// file has it.
type envValue struct{ text, written string }

// minHidden is how long a value must be to be hidden: shorter ones are part of
// ordinary words, and too short for a secret.
const minHidden = 8

func envValues(written map[*yaml.Node]string) []envValue {
	var values []envValue
	for node, text := range written {
		if len(node.Value) >= minHidden {
			values = append(values, envValue{node.Value, text})
		}
	}
	slices.SortFunc(values, func(a, b envValue) int { // longest first: one may be part of another
		if a, b := len(a.text), len(b.text); a != b {
			return b - a
		}
		return strings.Compare(a.text, b.text)
	})
	return values
}

// hideValues replaces each value by what the file has, since the value may be a
// secret that was used as a file name by mistake.
func hideValues(text string, values []envValue) string {
	for _, v := range values {
		quoted := strconv.Quote(v.text)
		text = strings.ReplaceAll(text, quoted, "`"+v.written+"`")
		text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], v.written)
		text = strings.ReplaceAll(text, v.text, v.written)
	}
	return text
}

// HideEnv returns err with a text that shows the names of environment variables
// instead of their values. err comes from using the configuration.
func (c *Config) HideEnv(err error) error {
	if err == nil {
		return nil
	}
	if text := hideValues(err.Error(), c.env); text != err.Error() {
		return hiddenError{text, err}
	}
	return err
}

// hiddenError is an error with another text.
type hiddenError struct {
	text string
	err  error
}

func (e hiddenError) Error() string { return e.text }
func (e hiddenError) Unwrap() error { return e.err }
