// Package urlquery reads the query of a request target: which of its parameters
// carry credentials, and the target without these. A query that servers could
// read differently is reported as ambiguous; nothing else of it is normalized.
package urlquery

import (
	"slices"
	"strings"

	"keyward/authz/urlpath"
	"keyward/chars"
)

// MaxNames bounds Names.Credential.
const MaxNames = 16

// Names are the parameters that matter here, in their only spelling: letters,
// digits and - . _ ~.
type Names struct {
	Credential []string // carry a credential; MaxNames at most

	// Reserved do not carry a credential. If one comes along with a credential,
	// or twice, it is unclear which one the upstream would use.
	Reserved []string
}

// Found is what a query has of the parameters.
type Found struct {
	Value     string // of the last one that carries a credential, as it was sent
	Count     int    // how many carry one; a blank value is none
	Reserved  int    // how many reserved ones there are
	Ambiguous bool   // one occurs twice, or in a spelling that only some servers recognize
}

// Read reads a query. Only some servers recognize a name that is encoded or
// separated by a semicolon, and no proxy could remove it: such a parameter is
// ambiguous.
func (n *Names) Read(query string) (found Found) {
	var seen uint32 // bits of the indexes
	for more := true; more; {
		var pair string
		pair, query, more = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		index := n.credential(name)
		switch {
		case (index >= 0 || n.isReserved(name)) && !strings.Contains(value, ";"):
			found.add(index, &seen, value)
		case chars.EncodedForms.Any(pair):
			n.readEncoded(pair, &found)
		}
	}
	return found
}

// add records a parameter: that of the index, or a reserved one if the index is
// negative.
func (f *Found) add(index int, seen *uint32, value string) {
	if index < 0 {
		f.Reserved++
		return
	}
	f.Ambiguous = f.Ambiguous || *seen&(1<<index) != 0
	*seen |= 1 << index
	if strings.Trim(value, " \t") != "" {
		f.Value = value
		f.Count++
	}
}

func (n *Names) readEncoded(pair string, found *Found) {
	for part := range strings.SplitSeq(pair, ";") {
		name, _, _ := strings.Cut(part, "=")
		name = strings.Trim(urlpath.DecodeOnce(name), " +")
		if n.credential(name) >= 0 {
			found.Count++
			found.Ambiguous = true
		} else if n.isReserved(name) {
			found.Reserved++
		}
	}
}

// HasEncoded reports whether the target has a parameter that carries a
// credential in a spelling that no proxy can remove.
func (n *Names) HasEncoded(target string) bool {
	_, query, _ := strings.Cut(target, "?")
	if len(n.Credential) == 0 || !chars.EncodedForms.Any(query) {
		return false
	}
	found := n.Read(query)
	return found.Ambiguous
}

// Present returns those parameters that carry a credential and are in the
// target, blank ones too. The caller must not modify the slice.
func (n *Names) Present(target string) []string {
	if len(n.Credential) == 0 {
		return nil
	}
	_, query, _ := strings.Cut(target, "?")
	first, others := -1, []string(nil)
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		switch index := n.credential(name); {
		case index < 0 || index == first || slices.Contains(others, name):
		case first < 0:
			first = index
		default:
			others = append(others, name)
		}
	}
	if first < 0 {
		return nil
	}
	return append(n.Credential[first:first+1:first+1], others...)
}

// Without returns the target without the query parameters of these names. The
// rest stays byte for byte.
func Without(target string, names []string) string {
	path, query, found := strings.Cut(target, "?")
	if len(names) == 0 || !found {
		return target
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(pair, "="); !slices.Contains(names, name) {
			kept = append(kept, pair)
		}
	}
	if len(kept) == 0 {
		return path
	}
	return path + "?" + strings.Join(kept, "&")
}

// credential returns the index of a parameter that carries a credential, -1 for
// another one.
func (n *Names) credential(name string) int { return slices.Index(n.Credential, name) }

func (n *Names) isReserved(name string) bool {
	return slices.Contains(n.Reserved, name) && !slices.Contains(n.Credential, name)
}
