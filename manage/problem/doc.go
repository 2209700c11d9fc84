// Package problem has the errors of the management API as its callers get them: problems
// of RFC 9457, each with a name of a closed set. They never have a value that the caller
// sent.
package problem
