package replica

import "bytes"

// heldMark ends a line that is in the copy although the database says otherwise. Readers
// ignore a member that they do not know.
const heldMark = `,"replica_held":true}`

// marked returns the line with the mark of one that is held.
func marked(line []byte) []byte {
	if isHeld(line) {
		return line
	}
	return append(bytes.TrimSuffix(line[:len(line):len(line)], []byte("}")), heldMark...)
}

// unmarked returns the line without the mark. A line that the source has comes to be one
// of a copy only by it: the mark says that the copy disagrees with the source.
func unmarked(line []byte) []byte {
	for isHeld(line) {
		rest := bytes.TrimSuffix(line, []byte(heldMark))
		line = append(rest[:len(rest):len(rest)], '}')
	}
	return line
}

func isHeld(line []byte) bool { return bytes.HasSuffix(line, []byte(heldMark)) }
