package keyindex

import "time"

// unixMicros is a point in time as it is held in memory: microseconds since 1970.
// Zero is not a time: never for an expiry, not yet for an event.
type unixMicros int64

func unixMicrosOf(t time.Time) unixMicros {
	if t.IsZero() {
		return 0
	}
	return unixMicros(t.UnixMicro())
}

func (i unixMicros) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(i)).UTC()
}
