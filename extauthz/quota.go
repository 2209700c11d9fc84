package extauthz

import (
	"strconv"
	"time"

	"keyward/authz"
)

// quotaHeaders appends headers that tell the client what is left of its most
// restrictive limit: those of draft-ietf-httpapi-ratelimit-headers-10
// (RateLimit, RateLimit-Policy), and the X-RateLimit ones that most clients
// know. All times are in seconds from now.
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

// overloadRetryAfter is how soon a client may retry after a denial for
// overload. By then a password that was being hashed has its result, which is
// cached.
const overloadRetryAfter = time.Second

// retryAfter returns a Retry-After (RFC 9110 section 10.2.3) of at least a
// second.
func retryAfter(d time.Duration) authz.Header {
	return authz.Header{Name: "retry-after", Value: seconds(max(d, time.Second))}
}

// seconds rounds up, since a client that retries a moment early is denied
// again.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
