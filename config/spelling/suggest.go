// Package spelling finds which of the known words a mistyped one was probably meant to be.
package spelling

import (
	"slices"
	"strings"
)

// Suggest returns the candidate that was probably meant by word: the one with
// the fewest edits, if these are few for its length, or one that is a prefix of
// word or begins with it. It returns "" if there is none.
func Suggest(word string, candidates []string) string {
	if len(word) > MaxWord {
		return ""
	}
	word = strings.ToLower(word)
	best, fewest := "", len(word)/3+2
	for _, candidate := range slices.Sorted(slices.Values(candidates)) {
		edits := distance(strings.ReplaceAll(word, "-", "_"), strings.ReplaceAll(candidate, "-", "_"))
		if len(word) >= 3 && (strings.HasPrefix(candidate, word) || len(candidate) >= 3 && strings.HasPrefix(word, candidate)) {
			edits = min(edits, 1)
		}
		if edits < fewest && edits < len(candidate) {
			best, fewest = candidate, edits
		}
	}
	return best
}

// MaxWord bounds what is compared and what messages show of a file: longer
// words are not typing mistakes.
const MaxWord = 64

// distance returns the number of edits from a to b: a byte inserted, deleted,
// replaced or swapped with its neighbour (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
