package redis

import (
	"bytes"
	"errors"
	"strconv"
)

// errNotRESP is an answer that no command used here can have: not RESP2, or too
// large. The error does not have what the server sent.
var errNotRESP = errors.New("redis: not an answer that Redis gives, or too large")

// bounds are how large the answers of a kind of server can be. The library
// makes room for what an answer announces, or for as much as comes, and ends
// the process where there is none.
type bounds struct {
	reply    int // bytes of one answer, all in all
	bulk     int // bytes of a string with a length
	elements int // of one array
	depth    int // of arrays in arrays
}

// maxLine bounds the errors of scripts, which are the longest lines.
const maxLine = 8 << 10

var (
	// A script returns 17 numbers at most. HELLO, with which a connection begins,
	// lists the server's modules with their arguments.
	ofServer = bounds{reply: 16 << 10, bulk: 4 << 10, elements: 256, depth: 8}
	// CLUSTER SLOTS returns a range of slots for each part of each node, with its replicas.
	ofCluster = bounds{reply: 512 << 10, bulk: 4 << 10, elements: 16384, depth: 8}
)

// replyReader follows the answers on one connection (RESP2) as they come in, and
// refuses what is out of bounds before anything else reads it.
type replyReader struct {
	bounds bounds
	size   int   // bytes of the answer so far
	open   []int // elements that are still to come of each open array
	bulk   int   // bytes that are still to come of a string, with its end
	line   []byte
	length int // bytes of the line so far, of which line holds the first
	last   byte

	// redirected is called with the address in a cluster's redirection. It
	// returns an error if the client must not follow it.
	redirected func(address string) error
}

// lineStart is how much of a line is kept: any number, and any redirection.
const lineStart = 300

// read follows what came in.
func (a *replyReader) read(data []byte) error {
	for len(data) > 0 {
		n, err := a.step(data)
		if err != nil {
			return err
		}
		if a.size += n; a.size > a.bounds.reply {
			return errNotRESP
		}
		if data = data[n:]; a.bulk == 0 && len(a.open) == 0 && a.length == 0 {
			a.size = 0
		}
	}
	return nil
}

// step follows the next part of a string or of a line.
func (a *replyReader) step(data []byte) (n int, err error) {
	if a.bulk > 0 {
		n = min(a.bulk, len(data))
		if a.bulk -= n; a.bulk == 0 {
			a.ended()
		}
		return n, nil
	}
	end := bytes.IndexByte(data, '\n')
	part := data
	if end >= 0 {
		part = data[:end+1]
	}
	a.line = append(a.line, part[:min(len(part), lineStart-len(a.line))]...)
	if a.length += len(part); a.length > maxLine {
		return 0, errNotRESP
	}
	if end < 0 {
		a.last = part[len(part)-1]
		return len(part), nil
	}
	if end > 0 {
		a.last = part[end-1]
	}
	if a.last != '\r' || a.length < len("+\r\n") {
		return 0, errNotRESP
	}
	err = a.element(a.length <= lineStart)
	a.line, a.length, a.last = a.line[:0], 0, 0
	return len(part), err
}

// element reads the line that begins an element, or is one.
func (a *replyReader) element(whole bool) error {
	switch kind := a.line[0]; kind {
	case '+':
		a.ended()
	case '-':
		a.ended()
		return a.follows(whole)
	case ':':
		if _, err := strconv.ParseInt(string(a.text()), 10, 64); err != nil || !whole {
			return errNotRESP
		}
		a.ended()
	case '$', '*':
		n, err := strconv.ParseInt(string(a.text()), 10, 32)
		if err != nil || !whole || n < -1 {
			return errNotRESP
		}
		return a.announced(kind, int(n))
	default: // of RESP3, which we did not ask for, or of nothing
		return errNotRESP
	}
	return nil
}

// text is the line without its kind and its end.
func (a *replyReader) text() []byte { return a.line[1 : len(a.line)-len("\r\n")] }

func (a *replyReader) announced(kind byte, n int) error {
	switch {
	case n == -1, kind == '*' && n == 0:
		a.ended()
	case kind == '$' && n <= a.bounds.bulk:
		a.bulk = n + len("\r\n")
	case kind == '*' && n <= a.bounds.elements && len(a.open) < a.bounds.depth:
		a.open = append(a.open, n)
	default:
		return errNotRESP
	}
	return nil
}

// ended notes that an element has come, and with it the arrays it is the last of.
func (a *replyReader) ended() {
	for len(a.open) > 0 {
		inner := &a.open[len(a.open)-1]
		if *inner--; *inner > 0 {
			return
		}
		a.open = a.open[:len(a.open)-1]
	}
}

// follows looks for a redirection in an error: MOVED or ASK, a slot, an address.
func (a *replyReader) follows(whole bool) error {
	fields := bytes.Fields(a.text())
	if a.redirected == nil || len(fields) == 0 || string(fields[0]) != "MOVED" && string(fields[0]) != "ASK" {
		return nil
	}
	if !whole || len(fields) < 3 {
		return errNotRESP
	}
	return a.redirected(string(fields[2]))
}
