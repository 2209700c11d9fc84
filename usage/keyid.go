package usage

import "bytes"

// keyID is the id of a key, k_ and 12 characters, with zeros after it. No other is
// recorded or found. As the key of a map it is in the map itself; the text of a string
// would be a further piece of memory to read.
type keyID [16]byte

// idOf returns the id that a text is. If it is none, the id is zero, which no key has.
func idOf(text string) (id keyID, ok bool) {
	if text == "" || len(text) > len(id) {
		return keyID{}, false
	}
	copy(id[:], text)
	return id, true
}

// String returns the id as a text.
func (id *keyID) String() string { return string(bytes.TrimRight(id[:], "\x00")) }
