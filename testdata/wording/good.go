// Package good is a fixture of wording_test.go. Most of it is good English: there is
// no word for the whole of it, and it has room for more. It is no longer than needed.
// A judge of words, and how many a sentence has; who may ask? The client asks.
package good

import "strings"

// reports whether strings tell apart what others, such as terms, do not.
// whether is another sentence; it tells. If there are no others, it is good.
func reports(words []string, begin int) string {
	words[begin] = "judge, most, whole: words in a message"
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return struct{ Method string }{words[0]}.Method
}
