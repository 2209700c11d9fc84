package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"keyward/authz"
	"keyward/chars"
)

// requestJSON is a request as JSON. Unknown members are errors.
type requestJSON struct {
	Method  string      `json:"method"` // GET by default
	Path    string      `json:"path"`   // the target, with its query
	PathB64 string      `json:"path_b64"`
	Headers headersJSON `json:"headers"`
	Host    string      `json:"host"`
	Scheme  string      `json:"scheme"` // http by default
	Peer    string      `json:"peer"`
	Route   string      `json:"route"`
}

// ParseRequest reads a request from a JSON object. Errors repeat nothing of its
// content, which may have a credential.
func ParseRequest(text []byte) (*authz.Request, error) {
	if !utf8.Valid(text) {
		// The decoder would replace the invalid bytes.
		return nil, errors.New("not UTF-8; give such bytes in base64, as path_b64 or {\"b64\": …}")
	}
	r := requestJSON{Method: "GET", Scheme: "http", Peer: "127.0.0.1"}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return nil, jsonError(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON object")
	}
	if r.PathB64 != "" {
		target, err := base64.StdEncoding.DecodeString(r.PathB64)
		if err != nil || r.Path != "" {
			return nil, errors.New("path_b64: want base64, and no path beside it")
		}
		r.Path = string(target)
	}
	return &authz.Request{
		Transport: authz.TransportGRPC, Method: r.Method, Scheme: r.Scheme, Host: r.Host, Target: r.Path,
		Peer: r.Peer, RouteName: r.Route, Headers: r.Headers,
	}, nil
}

// jsonError returns err without the text that caused it.
func jsonError(err error) error {
	var typed *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typed):
		return fmt.Errorf("%s: want %s, not %s", typed.Field, typed.Type.Kind(), typed.Value)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	case errors.Is(err, errHeaders):
		return errHeaders
	default:
		return errors.New("not a JSON object")
	}
}

var errHeaders = errors.New(`headers: want [["name", "value"], …] or {"name": "value"}, a value being a text, {"b64": "…"} or, in an object, a list of those`)

// headersJSON are header lines in the order given, from a list of pairs or from
// an object, which may have a name twice.
type headersJSON []authz.Header

// UnmarshalJSON implements json.Unmarshaler.
func (h *headersJSON) UnmarshalJSON(text []byte) error {
	switch text = bytes.TrimSpace(text); text[0] {
	case '[':
		return h.fromPairs(text)
	case '{':
		return h.fromObject(text)
	case 'n':
		return nil
	default:
		return errHeaders
	}
}

func (h *headersJSON) fromPairs(text []byte) error {
	var pairs [][]json.RawMessage
	if json.Unmarshal(text, &pairs) != nil {
		return errHeaders
	}
	for _, pair := range pairs {
		var name string
		if len(pair) != 2 || json.Unmarshal(pair[0], &name) != nil {
			return errHeaders
		}
		if err := h.add(name, pair[1]); err != nil {
			return err
		}
	}
	return nil
}

func (h *headersJSON) fromObject(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil { // the brace
		return errHeaders
	}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || decoder.Decode(&value) != nil {
			return errHeaders
		}
		values := []json.RawMessage{value}
		if value[0] == '[' && json.Unmarshal(value, &values) != nil {
			return errHeaders
		}
		for _, value := range values {
			if err := h.add(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds one line. Its value is a string or {"b64": "…"}.
func (h *headersJSON) add(name string, value json.RawMessage) error {
	var text string
	if json.Unmarshal(value, &text) != nil || string(value) == "null" {
		var encoded struct {
			B64 *[]byte `json:"b64"`
		}
		if json.Unmarshal(value, &encoded) != nil || encoded.B64 == nil {
			return errHeaders
		}
		text = string(*encoded.B64)
	}
	*h = append(*h, authz.Header{Name: chars.LowerASCII(name), Value: text})
	return nil
}
