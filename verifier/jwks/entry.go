package jwks

import "slices"

// entry is a key of a document, as far as that decides whether another key may
// have its id. Issuers publish one id for several algorithms (RFC 7517 section
// 4.5 allows it for different kty), so a key is found by its id and algorithm.
type entry struct {
	index      int
	kty        string   // "": none, or not a text
	verifies   bool     // use and key_ops allow it
	algorithms []string // that it could verify; nil: any of its kty
	key        *Key     // nil if it is left out
}

func newEntry(index int, jwk map[string]any, key *Key) entry {
	kty, _ := jwk["kty"].(string)
	e := entry{index: index, kty: kty, verifies: checkUse(jwk) == nil, key: key}
	if alg, pinned := jwk["alg"].(string); pinned {
		e.algorithms = []string{alg}
	} else if key != nil {
		e.algorithms = key.algorithms
	}
	return e
}

// conflict returns the first of the others, all of the same id, that e could be
// confused with. A key that is left out conflicts too: other readers may use it.
func (e *entry) conflict(others []entry) *entry {
	for i := range others {
		other := &others[i]
		same := e.key != nil && other.key != nil && e.key.keyDigest == other.key.keyDigest
		if !same && e.verifies && other.verifies && e.kty == other.kty && overlap(e.algorithms, other.algorithms) {
			return other
		}
	}
	return nil
}

func overlap(a, b []string) bool {
	return a == nil || b == nil || slices.ContainsFunc(a, func(algorithm string) bool { return slices.Contains(b, algorithm) })
}
