package replica

import (
	"time"

	"keyward/store/journal/filesystem"
)

const (
	progressSuffix = ".replica"
	// progressVersion changes when copies have to be begun again by a newer version of
	// Keyward, which may know kinds of records that were left out before.
	progressVersion = 1
	maxEpochs       = 256 // that are remembered
)

// progress is what the file beside a copy says of it. It is durable only after the lines
// that it is about.
type progress struct {
	Version  int      `json:"version"`
	Identity string   `json:"identity"`
	Epochs   []string `json:"epochs"` // that were seen, the latest last
	// Seq is the journal's line up to which the copy has all lines of its kind, and
	// Digest that of the line; zero and "" where the journal had none.
	Seq    int64  `json:"seq"`
	Digest string `json:"digest,omitempty"`
	// Size is the copy's size with these lines, and Tail the digest of its end then.
	// What is behind is lines of the journal that come again: they are compared, and
	// not appended once more, since that could put an earlier record in force again.
	Size    int64     `json:"size"`
	Tail    string    `json:"tail"`
	Contact time.Time `json:"contact,omitzero"` // when the source was last read
	Origin  string    `json:"origin,omitempty"` // of which source that was
	Held    int       `json:"held,omitempty"`   // lines that are in the copy although the database says otherwise
	Resync  Reason    `json:"resync,omitempty"` // why a snapshot was begun, until it is in the copy
}

// seenEpoch reports whether the epoch was seen.
func (p *progress) seenEpoch(epoch string) bool {
	for _, seen := range p.Epochs {
		if seen == epoch {
			return true
		}
	}
	return false
}

// addEpoch remembers that the epoch was seen.
func (p *progress) addEpoch(epoch string) {
	if p.seenEpoch(epoch) {
		return
	}
	p.Epochs = append(p.Epochs[max(0, len(p.Epochs)-maxEpochs+1):len(p.Epochs):len(p.Epochs)], epoch)
}

// readProgress reads what the file beside a copy says. What is missing or cannot be
// understood says nothing: false.
func readProgress(files filesystem.FS, path string) (progress, bool, error) {
	var p progress
	found, err := readBeside(files, path+progressSuffix, &p)
	if err != nil || !found || p.Seq < 0 || p.Size < 0 {
		return progress{}, false, err
	}
	return p, true, nil
}
