package tokensource

import (
	"bytes"
	"errors"
	"fmt"
)

// byteOrderMark may stand before a JSON text, where a reader may ignore it
// (RFC 8259 section 8.1).
const byteOrderMark = "\ufeff"

// withoutMark returns the document without a byte order mark at its start.
func withoutMark(document []byte) []byte {
	return bytes.TrimPrefix(document, []byte(byteOrderMark))
}

// What a server answers in place of JSON, and why.
var (
	errHTML = errors.New("it is a page of HTML: the URL leads to a login or an error page")
	errJWT  = errors.New("it is a signed JWT (RFC 9701): have the server answer in JSON (RFC 7662)")
)

// notJSON returns the error of a document that cannot be parsed. It adds what
// the document is instead, where its first bytes show that.
func notJSON(document []byte, err error) error {
	switch text := bytes.TrimSpace(withoutMark(document)); {
	case bytes.HasPrefix(text, []byte("<")):
		return fmt.Errorf("%w; %w", err, errHTML)
	case bytes.HasPrefix(text, []byte("eyJ")):
		return fmt.Errorf("%w; %w", err, errJWT)
	default:
		return err
	}
}
