package replica

import (
	"slices"
	"strings"

	"keyward/store/journal/filesystem"
)

// Loss is what the database lacks of a record that a replica had seen.
type Loss string

// The losses.
const (
	LossMissing Loss = "missing" // it has no such record
	LossOlder   Loss = "older"   // it has an earlier version of it
	LossEnded   Loss = "ended"   // it has not what ended here, and stays ended here
)

// LostRecord is a record that the copies had otherwise than the database has it.
type LostRecord struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`  // of a revocation: what it revokes
	Seq  int64  `json:"seq"` // of the line that the copy had
	What Loss   `json:"what"`
}

// Lost is what a replica had seen and the database lacks, since it was restored, until
// that is accepted. By the numbers of lines alone it does not show a change that the
// database has a later one of the same record for.
type Lost struct {
	// Total is how many records there are. One that is not among Records and is lost
	// again by another restore counts again.
	Total   int
	Records []LostRecord // at most MaxLost of them; not to be changed
}

const (
	// MaxLost bounds the records that are listed.
	MaxLost = 1000
	// maxLostID bounds the id of one that is listed, in bytes.
	maxLostID = 512

	lostSuffix = ".lost"
)

// lostList is what a file beside a copy says of the records that the database lacks. It
// is durable before the copy is replaced in which they are.
type lostList struct {
	// Base is the total of before the present snapshot: one that is interrupted is
	// compared once more, and counts once.
	Base    int          `json:"base"`
	Total   int          `json:"total"`
	Records []LostRecord `json:"records,omitempty"`
}

func readLost(files filesystem.FS, path string) (lostList, error) {
	var l lostList
	found, err := readBeside(files, path+lostSuffix, &l)
	if err != nil || !found || l.Base < 0 || l.Total < len(l.Records) || len(l.Records) > MaxLost {
		return lostList{}, err
	}
	return l, nil
}

// setLost makes the list durable.
func (c *localCopy) setLost(l lostList) error {
	if l.Base == c.lost.Base && l.Total == c.lost.Total && len(l.Records) == len(c.lost.Records) {
		return nil // records are only added, or all removed
	}
	if err := writeBeside(c.files, c.path+lostSuffix, &l); err != nil {
		return err
	}
	c.lost = l
	return nil
}

// with returns the list with what a snapshot lacks.
func (l lostList) with(found []LostRecord, total int) lostList {
	found = found[:min(len(found), MaxLost-len(l.Records))]
	return lostList{l.Base, max(l.Total, l.Base+total), append(slices.Clip(l.Records), found...)}
}

// has reports whether a record of the id is in the list.
func (l lostList) has(id string) bool {
	return slices.ContainsFunc(l.Records, func(r LostRecord) bool { return r.ID == id })
}

// published returns the list once the snapshot is the copy.
func (l lostList) published() lostList { return lostList{l.Total, l.Total, l.Records} }

// countLost takes over what the copies have, after that has changed.
func (p *Puller) countLost() {
	var all Lost
	for _, c := range p.copies {
		all.Total += c.lost.Total
		all.Records = append(all.Records, c.lost.Records[:min(len(c.lost.Records), MaxLost-len(all.Records))]...)
	}
	p.update(func(s *Status) { s.Lost = all })
}

// shownID returns an id as the list has it.
func shownID(id string) string {
	if len(id) > maxLostID {
		return strings.ToValidUTF8(id[:maxLostID], "") + "…"
	}
	return strings.Clone(id)
}
