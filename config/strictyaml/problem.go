package strictyaml

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake and its location.
type Problem struct {
	File    string
	Line    int // from 1; 0 is the entire file
	Message string
}

// String formats the problem like a compiler's, so that editors find the line.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Problems are all mistakes in a file, by line. As an error it is never empty,
// and has one line per problem.
type Problems []Problem

// Error implements error.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// sortedAndHidden sorts the problems by line, keeping the order within a line,
// and hides the values that came from the environment.
func (p Problems) sortedAndHidden(env Environment) Problems {
	slices.SortStableFunc(p, func(a, b Problem) int { return a.Line - b.Line })
	for i := range p {
		p[i].Message = env.Hide(p[i].Message)
	}
	return p
}
