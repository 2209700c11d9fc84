package store

import "strings"

// ReservedUserName reports whether upstreams could take a user of that name
// for a key or a client, whose ids are subjects too.
func ReservedUserName(name string) bool {
	return strings.HasPrefix(name, "k_") || strings.HasPrefix(name, "c_")
}
