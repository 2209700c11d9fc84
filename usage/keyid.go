package usage

import "bytes"

// keyID is the id of a key, k_ and 12 characters, with zeros after it. No other is
// recorded or found. As the key of a map it is in the map itself; the text of a string
// would be a further piece of memory to read.
type keyID [16]byte

func idOf(text string) (id keyID, ok bool) {
	return id, copy(id[:], text) == len(text) && text != ""
}

// String returns the id as a text.
func (id *keyID) String() string { return string(bytes.TrimRight(id[:], "\x00")) }
