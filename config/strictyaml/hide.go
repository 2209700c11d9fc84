package strictyaml

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

// Environment are the values that contain environment variables.
type Environment []envValue

func environment(written map[*yaml.Node]string) Environment {
	var values Environment
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

// Hide replaces each value by what the file has, since the value may be a secret that was
// used as a file name by mistake.
func (e Environment) Hide(text string) string {
	for _, v := range e {
		quoted := strconv.Quote(v.text)
		text = strings.ReplaceAll(text, quoted, "`"+v.written+"`")
		text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], v.written)
		text = strings.ReplaceAll(text, v.text, v.written)
	}
	return text
}
