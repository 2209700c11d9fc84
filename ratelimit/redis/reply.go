package redis

import (
	"bytes"
	"errors"
	"strconv"
)

// errNotRESP means a reply that no command used here can have: not RESP2, or
// too large. The error does not quote what the server sent.
var errNotRESP = errors.New("redis: not a reply that Redis gives, or too large")

// bounds limit the size of a server's replies. The library allocates the memory
// that a reply announces, or keeps whatever comes. If memory runs out, the
// process ends.
type bounds struct {
	reply    int // total bytes of one reply
	bulk     int // bytes of a string with a length prefix
	elements int // of one array
	depth    int // of nested arrays
}

// maxLine is the maximum length of a line in bytes. The errors of scripts are
// the longest lines.
const maxLine = 8 << 10

var (
	// A script returns at most 17 numbers. The reply to HELLO, with which a
	// connection begins, lists the server's modules with their arguments.
	ofServer = bounds{reply: 16 << 10, bulk: 4 << 10, elements: 256, depth: 8}
	// CLUSTER SLOTS returns, for each node, its ranges of slots and its
	// replicas.
	ofCluster = bounds{reply: 512 << 10, bulk: 4 << 10, elements: 16384, depth: 8}
)

// replyReader follows the replies (RESP2) on one connection as they arrive, and
// refuses what is out of bounds before anything else reads it.
type replyReader struct {
	bounds bounds
	size   int   // bytes of the current reply so far
	open   []int // remaining elements of each open array
	bulk   int   // remaining bytes of a string, including its end
	line   []byte
	length int // bytes of the current line so far; line holds the first of them
	last   byte

	// redirected is called with the address of a cluster's redirection. It
	// returns an error if the client must not follow it.
	redirected func(address string) error
}

// lineStart is how many bytes of a line are kept, enough for any number and any
// redirection.
const lineStart = 300

// read follows the received data.
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

// step follows the next part of a string or line, and returns its length.
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

// element reads the line that starts an element, or is one. complete means that
// a.line is the entire line.
func (a *replyReader) element(complete bool) error {
	switch kind := a.line[0]; kind {
	case '+':
		a.ended()
	case '-':
		a.ended()
		return a.redirection(complete)
	case ':':
		if _, err := strconv.ParseInt(string(a.text()), 10, 64); err != nil || !complete {
			return errNotRESP
		}
		a.ended()
	case '$', '*':
		n, err := strconv.ParseInt(string(a.text()), 10, 32)
		if err != nil || !complete || n < -1 {
			return errNotRESP
		}
		return a.announced(kind, int(n))
	default: // of RESP3, which was not requested, or not RESP
		return errNotRESP
	}
	return nil
}

// text returns the line without its type byte and its end.
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

// ended records that an element is complete, and so are the arrays of which it
// is the last element.
func (a *replyReader) ended() {
	for len(a.open) > 0 {
		inner := &a.open[len(a.open)-1]
		if *inner--; *inner > 0 {
			return
		}
		a.open = a.open[:len(a.open)-1]
	}
}

// redirection checks whether an error is a redirection (MOVED or ASK, a slot,
// an address), and reports it.
func (a *replyReader) redirection(complete bool) error {
	fields := bytes.Fields(a.text())
	if a.redirected == nil || len(fields) == 0 || string(fields[0]) != "MOVED" && string(fields[0]) != "ASK" {
		return nil
	}
	if !complete || len(fields) < 3 {
		return errNotRESP
	}
	return a.redirected(string(fields[2]))
}
