// Package jsonline reads the lines of a journal: flat JSON objects, parsed in one
// pass and in place, with texts, times and lists within fixed bounds. A line
// that it accepts means the same to every reader of JSON. Members that a reader does
// not know are kept as they were written: see [Unknown].
package jsonline
