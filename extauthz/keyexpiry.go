package extauthz

import (
	"time"

	"keyward/authz"
)

// keyExpiryHeader has the time at which the client's key stops being accepted.
const keyExpiryHeader = "x-keyward-key-expires"

// keyExpiryNotice is for how long before that clients get the header.
const keyExpiryNotice = 14 * 24 * time.Hour

// appendKeyExpiry appends the header if the key ends soon; the zero time is never.
func appendKeyExpiry(headers []authz.Header, until, now time.Time) []authz.Header {
	if until.IsZero() || until.Sub(now) > keyExpiryNotice {
		return headers
	}
	return append(headers, authz.Header{Name: keyExpiryHeader, Value: until.UTC().Format(time.RFC3339)})
}
