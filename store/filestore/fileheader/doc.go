// Package fileheader is the first line of a file of records: which records they are,
// which readers may read them, and how their secrets are hashed. A file that is not
// what a reader expects is refused as a whole.
package fileheader
