// Package location is where the records are that a command works on: files of this
// machine, or a running Keyward that is asked through its API. The flags say which; the
// commands see one interface per kind of record in both cases.
package location
