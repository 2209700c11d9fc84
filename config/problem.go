package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong, and where.
type Problem struct {
	File    string
	Line    int // from 1; 0 is the file as a whole
	Message string
}

// String is the problem as compilers print theirs, so that editors find the line.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Problems is all that is wrong with a file, by line. It is an error of one
// line a problem, and is never empty as one.
type Problems []Problem

// Error implements error.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// told puts the problems in the file's order, in which those of one line stay as
// they were found, and takes out of them what came from the environment.
func (p Problems) told(values []envValue) Problems {
	slices.SortStableFunc(p, func(a, b Problem) int { return a.Line - b.Line })
	for i := range p {
		p[i].Message = hideValues(p[i].Message, values)
	}
	return p
}
