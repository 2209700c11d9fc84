// Package fault has the errors of the managing half: why a call was refused or failed,
// in words for its caller. They never have a secret or a value that the caller sent.
package fault
