// Package access is what callers of the managing half may do: the actor that a
// credential stands for, its roles, and the bounds of what it may hand out.
//
// It reads no store and writes none: package manage asks it before each change.
package access
