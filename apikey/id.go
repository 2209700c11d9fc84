package apikey

import "io"

// IDPrefix is the prefix of every key's id.
const IDPrefix = "k_"

const idLen = 12 // without the prefix

// ID is the id of a key without its prefix.
type ID [idLen]byte

// NewID returns an id from the random source.
func NewID(rand io.Reader) (id ID, err error) {
	text, err := randomText(rand, base62, idLen)
	copy(id[:], text)
	return id, err
}

// String returns the id with its prefix.
func (id ID) String() string { return IDPrefix + string(id[:]) }

// ParseID parses an id with its prefix. ok is false if the text is not an id.
func ParseID(text []byte) (id ID, ok bool) {
	if len(text) != len(IDPrefix)+idLen || string(text[:len(IDPrefix)]) != IDPrefix {
		return id, false
	}
	for _, c := range text[len(IDPrefix):] {
		if !inBase62(c) {
			return id, false
		}
	}
	return ID(text[len(IDPrefix):]), true
}
