package usage

import "errors"

// Store keeps what Trackers flush. Each Tracker has a Store of its own, which may have
// its data in one place with others.
type Store interface {
	// Flush writes what memory holds. It is called by one goroutine. After an error the
	// Tracker keeps what was not written.
	Flush(from Source) error
	// Lines calls visit for each line about the key, without its newline, and maybe for
	// lines about other keys. It ends with visit's first error.
	Lines(id string, visit func(line []byte) error) error
	// LastUse returns a function that returns when a key was last used, in microseconds
	// since 1970, by what is stored now; zero for a key that was never used.
	LastUse() (func(id string) int64, error)
}

// Source is the memory of a Tracker during a flush.
type Source interface {
	// Drain calls write with all that memory holds, in batches of complete lines of at
	// most about 256 KiB. A batch whose write failed is kept: the next Drain begins with
	// it, unchanged.
	Drain(write func(batch []byte) error) error
	// Checkpoint is called regularly by a flush that takes long. It drains if memory
	// needs that, and returns errClosing if the Tracker closes.
	Checkpoint(write func(batch []byte) error) error
}

// errClosing is the error of a Checkpoint of a Tracker that closes.
var errClosing = errors.New("closing")
