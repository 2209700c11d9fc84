package usage

import (
	"encoding/json"
	"hash/maphash"
	"os"
	"time"
)

// summedAtOnce is how much of a file is added up in memory at a time, in bytes.
const summedAtOnce = 64 << 20

// EachSum calls visit with the sum of each key in the file. A large file is read several
// times, each time for some of the keys. For a missing file it returns fs.ErrNotExist.
func EachSum(path string, visit func(id string, sum KeyLines) error) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	seed := maphash.MakeSeed()
	parts := uint64(info.Size()/summedAtOnce) + 1
	for part := range parts {
		var sums Sums
		_, err := readFile(path, func(line []byte) error {
			c := cursor{text: line}
			if id := c.readID(); !c.bad && maphash.String(seed, id)%parts == part {
				sums.Add(line) // one that cannot be read is skipped, as by every reader
			}
			return nil
		})
		if err != nil {
			return err
		}
		for id, sum := range sums.All() {
			if err := visit(id, sum); err != nil {
				return err
			}
		}
	}
	return nil
}

// Header returns the first line of a usage file, with its newline, whose recording began
// at that time.
func Header(since time.Time) []byte {
	at, _ := json.Marshal(since.UTC().Truncate(time.Second)) // a time can always be marshalled
	return append(append(append([]byte(headerMark), `"since":`...), at...), "}\n"...)
}
