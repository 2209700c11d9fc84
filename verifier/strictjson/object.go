// Package strictjson parses JSON for programs that base access decisions on it. It
// refuses what two parsers could read differently: duplicate members, bytes that are not
// valid UTF-8, lone surrogates, anything before or after the one object. It accepts a
// subset of what encoding/json accepts, with equal values; a fuzz test checks that.
package strictjson

import (
	"encoding/json"
	"errors"
)

// Limits bound the work for small input. Both must be positive.
type Limits struct {
	Depth   int // of nested objects and arrays, including the object itself
	Members int // of the object itself; only the input's length bounds nested ones
}

// The errors name what is wrong and the rule, and quote nothing of the input.
var (
	errLimits    = errors.New("strictjson: limits must be positive")
	errNotObject = errors.New("not a JSON object")
	errSyntax    = errors.New("not JSON (RFC 8259)")
	errTrailing  = errors.New("something follows the JSON object")
	errDuplicate = errors.New("a member occurs twice in a JSON object")
	errDepth     = errors.New("JSON nested too deeply")
	errMembers   = errors.New("too many members in the JSON object")
	errUTF8      = errors.New("text that is not UTF-8")
	errSurrogate = errors.New("an escaped surrogate without its other half")
)

// Object parses data, which must be exactly one JSON object, surrounded by nothing but
// white space. Values are string, json.Number, bool, nil, []any and map[string]any. The
// map is nil if there is an error.
//
// Strings may share memory with each other: a caller that keeps one for long should
// clone it.
func Object(data []byte, limits Limits) (map[string]any, error) {
	return parse(data, limits, false)
}

func parse(data []byte, limits Limits, outline bool) (map[string]any, error) {
	if limits.Depth <= 0 || limits.Members <= 0 {
		return nil, errLimits
	}
	r := reader{text: string(data), depth: limits.Depth, outline: outline}
	r.space()
	if r.peek() != '{' {
		return nil, errNotObject
	}
	object, err := r.object(limits.Members)
	if err != nil {
		return nil, err
	}
	if r.space(); r.at != len(r.text) {
		return nil, errTrailing
	}
	return object, nil
}

// reader scans the text once, from left to right.
type reader struct {
	text    string
	at      int
	depth   int  // how many more levels may open
	outline bool // skip values that are objects or arrays
}

// peek returns the next byte, or 0 at the end; a NUL begins nothing in JSON either.
func (r *reader) peek() byte {
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}

func (r *reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// take consumes the byte c if it is next.
func (r *reader) take(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) value() (any, error) {
	switch c := r.peek(); {
	case c == '"':
		return r.string()
	case r.outline && (c == '{' || c == '['):
		return Nested{}, r.skip()
	case c == '{':
		return r.object(len(r.text))
	case c == '[':
		return r.array()
	case c == '-' || isDigit(c):
		return r.number()
	case c == 't':
		return true, r.word("true")
	case c == 'f':
		return false, r.word("false")
	case c == 'n':
		return nil, r.word("null")
	default:
		return nil, errSyntax
	}
}

func (r *reader) word(word string) error {
	if len(r.text)-r.at < len(word) || r.text[r.at:r.at+len(word)] != word {
		return errSyntax
	}
	r.at += len(word)
	return nil
}

// open enters an object or an array, whose first byte is next.
func (r *reader) open() error {
	if r.depth == 0 {
		return errDepth
	}
	r.depth--
	r.at++
	r.space()
	return nil
}

// close leaves an object or an array whose last byte was consumed.
func (r *reader) close() { r.depth++ }

func (r *reader) object(members int) (map[string]any, error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	object := map[string]any{}
	for !r.take('}') {
		if len(object) > 0 {
			if !r.take(',') {
				return nil, errSyntax
			}
			r.space()
		}
		if len(object) == members {
			return nil, errMembers
		}
		if err := r.member(object); err != nil {
			return nil, err
		}
	}
	r.close()
	return object, nil
}

func (r *reader) member(object map[string]any) error {
	if r.peek() != '"' {
		return errSyntax
	}
	name, err := r.string()
	if err != nil {
		return err
	}
	if _, twice := object[name]; twice {
		return errDuplicate
	}
	if r.space(); !r.take(':') {
		return errSyntax
	}
	r.space()
	value, err := r.value()
	if err != nil {
		return err
	}
	object[name] = value
	r.space()
	return nil
}

func (r *reader) array() ([]any, error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	array := []any{}
	for !r.take(']') {
		if len(array) > 0 {
			if !r.take(',') {
				return nil, errSyntax
			}
			r.space()
		}
		value, err := r.value()
		if err != nil {
			return nil, err
		}
		array = append(array, value)
		r.space()
	}
	r.close()
	return array, nil
}

// number parses by the grammar of RFC 8259 section 6 and keeps the text, so that no digit is lost.
func (r *reader) number() (json.Number, error) {
	start := r.at
	r.take('-')
	if !r.take('0') && !r.digits() {
		return "", errSyntax
	}
	if r.take('.') && !r.digits() {
		return "", errSyntax
	}
	if r.take('e') || r.take('E') {
		if !r.take('+') {
			r.take('-')
		}
		if !r.digits() {
			return "", errSyntax
		}
	}
	return json.Number(r.text[start:r.at]), nil
}

// digits consumes digits and reports whether there was at least one.
func (r *reader) digits() bool {
	start := r.at
	for r.at < len(r.text) && isDigit(r.text[r.at]) {
		r.at++
	}
	return r.at > start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
