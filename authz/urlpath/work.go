package urlpath

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// work is what computing the readings of a path may still cost, since clients
// cause it before they are authenticated. It counts bytes, each as often as is
// proportionate to the time that they take: a unit takes at most some 10 ns.
type work int

// maxWork is enough for file names of 1 KB in any script and charset. No path
// takes longer than 1.5 ms.
const maxWork work = 128 << 10

// What a byte of a text outside ASCII costs in units.
const (
	workToFold      = 4  // a text that normalization does not change
	workToCompose   = 4  // one that it changes, in addition
	workPerComposed = 4  // the result of that
	workToNormalize = 3  // see normalize
	maxNFKCGrowth   = 11 // U+FDFA: 3 bytes become 33
)

// spend takes n units, and refuses a path for which they are too many.
func (w *work) spend(n int) error {
	if *w -= work(n); *w < 0 {
		return encodedTooOften
	}
	return nil
}

// normalizing spends the work of normalize for the text.
func (w *work) normalizing(decoded string) error {
	if isASCII(decoded) {
		return nil
	}
	return w.spend(workToNormalize * len(decoded))
}

// nfkc is the function nfkc within the work that is left. It does not compute
// a result that is too long.
func (w *work) nfkc(path string) (string, error) {
	if isASCII(path) {
		return path, nil
	}
	if err := w.spend(workToFold * len(path)); err != nil {
		return "", err
	}
	path = strings.Map(foldOutlined, path)
	n := norm.NFKC.QuickSpanString(path)
	if n == len(path) {
		return path, nil
	}
	rest := []byte(path[n:])
	if err := w.spend(workToCompose * len(rest)); err != nil {
		return "", err
	}
	const scratch = 256 // Transform needs some for the longest segment
	folded := make([]byte, min(maxNFKCGrowth*len(rest), int(*w)/workPerComposed)+scratch)
	size, _, err := norm.NFKC.Transform(folded, rest, true)
	if err != nil { // too short
		return "", encodedTooOften
	}
	return path[:n] + string(folded[:size]), w.spend(workPerComposed * size)
}
