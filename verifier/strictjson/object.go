// Package strictjson parses JSON for programs that base access decisions on it.
// It refuses what two parsers could read differently: duplicate members, bytes
// that are not valid UTF-8, lone surrogates, anything before or after the one
// object. It accepts a subset of what encoding/json accepts, with equal values;
// a fuzz test checks that.
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

// Object parses data, which must be exactly one JSON object, surrounded by
// nothing but white space. Values are string, json.Number, bool, nil, []any and
// map[string]any. The map is nil if there is an error.
//
// Strings may share memory with each other: a caller that keeps one for long
// should clone it.
func Object(data []byte, limits Limits) (map[string]any, error) {
	return parse(data, limits, false)
}

func parse(data []byte, limits Limits, outline bool) (map[string]any, error) {
	if limits.Depth <= 0 || limits.Members <= 0 {
		return nil, errLimits
	}
	p := parser{text: string(data), depth: limits.Depth, outline: outline}
	p.skipSpace()
	if p.peek() != '{' {
		return nil, errNotObject
	}
	object, err := p.object(limits.Members)
	if err != nil {
		return nil, err
	}
	if p.skipSpace(); p.at != len(p.text) {
		return nil, errTrailing
	}
	return object, nil
}

// parser scans the text once, from left to right.
type parser struct {
	text    string
	at      int
	depth   int  // how many more levels may open
	outline bool // skip values that are objects or arrays
}

// peek returns the next byte, or 0 at the end; a NUL begins nothing in JSON
// either.
func (p *parser) peek() byte {
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) skipSpace() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// consume consumes the byte c if it is next.
func (p *parser) consume(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) value() (any, error) {
	switch c := p.peek(); {
	case c == '"':
		return p.string()
	case p.outline && (c == '{' || c == '['):
		return Nested{}, p.skip()
	case c == '{':
		return p.object(len(p.text))
	case c == '[':
		return p.array()
	case c == '-' || isDigit(c):
		return p.number()
	case c == 't':
		return true, p.literal("true")
	case c == 'f':
		return false, p.literal("false")
	case c == 'n':
		return nil, p.literal("null")
	default:
		return nil, errSyntax
	}
}

func (p *parser) literal(word string) error {
	if len(p.text)-p.at < len(word) || p.text[p.at:p.at+len(word)] != word {
		return errSyntax
	}
	p.at += len(word)
	return nil
}

// open enters an object or an array, whose first byte is next.
func (p *parser) open() error {
	if p.depth == 0 {
		return errDepth
	}
	p.depth--
	p.at++
	p.skipSpace()
	return nil
}

// close leaves an object or an array whose last byte was consumed.
func (p *parser) close() { p.depth++ }

func (p *parser) object(members int) (map[string]any, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	object := map[string]any{}
	for !p.consume('}') {
		if len(object) > 0 {
			if !p.consume(',') {
				return nil, errSyntax
			}
			p.skipSpace()
		}
		if len(object) == members {
			return nil, errMembers
		}
		if err := p.member(object); err != nil {
			return nil, err
		}
	}
	p.close()
	return object, nil
}

func (p *parser) member(object map[string]any) error {
	if p.peek() != '"' {
		return errSyntax
	}
	name, err := p.string()
	if err != nil {
		return err
	}
	if _, twice := object[name]; twice {
		return errDuplicate
	}
	if p.skipSpace(); !p.consume(':') {
		return errSyntax
	}
	p.skipSpace()
	value, err := p.value()
	if err != nil {
		return err
	}
	object[name] = value
	p.skipSpace()
	return nil
}

func (p *parser) array() ([]any, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	array := []any{}
	for !p.consume(']') {
		if len(array) > 0 {
			if !p.consume(',') {
				return nil, errSyntax
			}
			p.skipSpace()
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		array = append(array, value)
		p.skipSpace()
	}
	p.close()
	return array, nil
}

// number parses by the grammar of RFC 8259 section 6 and keeps the text, so
// that no digit is lost.
func (p *parser) number() (json.Number, error) {
	start := p.at
	p.consume('-')
	if !p.consume('0') && !p.digits() {
		return "", errSyntax
	}
	if p.consume('.') && !p.digits() {
		return "", errSyntax
	}
	if p.consume('e') || p.consume('E') {
		if !p.consume('+') {
			p.consume('-')
		}
		if !p.digits() {
			return "", errSyntax
		}
	}
	return json.Number(p.text[start:p.at]), nil
}

// digits consumes digits and reports whether there was at least one.
func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.text) && isDigit(p.text[p.at]) {
		p.at++
	}
	return p.at > start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
