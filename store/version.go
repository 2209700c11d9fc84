package store

import (
	"crypto/sha256"
	"encoding/base64"
)

// Version identifies the last change of a record. Use of a key or user does not
// change it, and neither does what a store removes of a record because it has no
// effect any more.
type Version string

// AnyVersion is that of a change that is made whatever the record says.
const AnyVersion Version = ""

// Match returns ErrChanged unless the record has the version, or it is [AnyVersion].
func (v Version) Match(record interface{ Version() Version }) error {
	if v != AnyVersion && v != record.Version() {
		return ErrChanged
	}
	return nil
}

// Version returns the version of the record. Secrets that were rotated out are not
// part of it: a store removes those that have ended.
func (r *KeyRecord) Version() Version {
	c := *r
	c.Previous = nil
	return versionOf(c.encode())
}

// Version returns the version of the record, with or without its password hash: a
// change of the password changes At.
func (r *UserRecord) Version() Version {
	c := *r
	c.Password = ""
	return versionOf(c.encode())
}

func versionOf(line []byte, err error) Version {
	if err != nil {
		return AnyVersion // a record that cannot be written has no version
	}
	sum := sha256.Sum256(line)
	return Version(base64.RawURLEncoding.EncodeToString(sum[:12]))
}
