package authz

import "strings"

// ClientAddress returns the address of the client, with that many proxies of
// ours between it and the one that asks: the entry of X-Forwarded-For that
// the outermost of them wrote. Whatever stands further left the client may
// have made up. With no hops, or where the header is missing, repeated or too
// short, it is the peer's address.
func ClientAddress(r *Request, trustedHops int) string {
	if trustedHops <= 0 {
		return r.Peer
	}
	value, lines := r.Header("x-forwarded-for")
	if lines != 1 {
		return r.Peer
	}
	for range trustedHops - 1 {
		comma := strings.LastIndexByte(value, ',')
		if comma < 0 {
			return r.Peer
		}
		value = value[:comma]
	}
	if comma := strings.LastIndexByte(value, ','); comma >= 0 {
		value = value[comma+1:]
	}
	if value = strings.Trim(value, " \t"); value == "" || len(value) > 64 || !printable.all(value) {
		return r.Peer
	}
	return value
}
