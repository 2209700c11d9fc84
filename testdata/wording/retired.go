// Package slowlink is a fixture of wording_test.go: whoever reads it finds a
// retired word of each kind. canJudge is no name of the field.
package slowlink

import ears "strings"

// stints tells
// whether the folder is away.
type stints struct{ most int }

const Room = "a line is written anew for each,\nwhoever asks"

func (s *stints) graveCell(whole int) (room error) {
	away, fine := 1, 2
	for born := range away {
		s.most += born + fine
	}
terms:
	for {
		break terms
	}
	return room
}
