package extauthz

import (
	"strconv"
	"time"

	"keyward/authz"
)

// quotaHeaders tell a client what is left of the limit that is tightest: as the
// IETF's draft has it (draft-ietf-httpapi-ratelimit-headers-10: RateLimit,
// RateLimit-Policy), and as most clients know it. All times are in seconds from now.
func quotaHeaders(headers []authz.Header, q *authz.Quota) []authz.Header {
	if q.Name == "" {
		return headers
	}
	reset := seconds(q.ResetAfter)
	headers = append(headers,
		authz.Header{Name: "ratelimit-policy", Value: `"` + q.Name + `";q=` + strconv.Itoa(q.Rate.Count) + ";w=" + seconds(q.Rate.Period)},
		authz.Header{Name: "ratelimit", Value: `"` + q.Name + `";r=` + strconv.Itoa(q.Remaining) + ";t=" + reset},
		authz.Header{Name: "x-ratelimit-limit", Value: strconv.Itoa(q.Limit)},
		authz.Header{Name: "x-ratelimit-remaining", Value: strconv.Itoa(q.Remaining)},
		authz.Header{Name: "x-ratelimit-reset", Value: reset})
	if q.Refused {
		headers = append(headers, retryAfter(q.RetryAfter))
	}
	return headers
}

// overloadPasses is how soon a client may retry what was refused for overload:
// by then a password that was being hashed is, and its outcome is remembered.
const overloadPasses = time.Second

// retryAfter is RFC 9110 section 10.2.3, at least a second.
func retryAfter(d time.Duration) authz.Header {
	return authz.Header{Name: "retry-after", Value: seconds(max(d, time.Second))}
}

// seconds rounds up: who comes back a moment early is refused again.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
