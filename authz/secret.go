package authz

import (
	"fmt"
	"log/slog"
)

// Secret holds a credential's plain text. Printing, logging or marshalling it
// in any way gives "[secret]"; whoever needs the text says so with Reveal.
// The zero Secret is empty.
type Secret struct{ text string }

const redacted = "[secret]"

// NewSecret wraps the plain text of a credential.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the plain text. It must go nowhere but into a hash, a parser
// or, once, to the person a key is handed to.
func (s Secret) Reveal() string { return s.text }

// Empty reports whether there is no secret at all.
func (s Secret) Empty() bool { return s.text == "" }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb reaches the text.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML use.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
