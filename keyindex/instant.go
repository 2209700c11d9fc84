package keyindex

import "time"

// instant is a point in time as it is held in memory: microseconds since 1970.
// Zero is no time at all: never for an end, not yet for an event.
type instant int64

func instantOf(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(t.UnixMicro())
}

func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(i)).UTC()
}
