package authz

import (
	"fmt"
	"log/slog"
)

// Secret holds the plaintext of a credential. Printing, logging or marshalling
// it in any way gives "[secret]". Reveal returns the text. The zero Secret is
// empty.
type Secret struct{ text string }

const redacted = "[secret]"

// NewSecret wraps the plaintext of a credential.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the plaintext. It must only be passed to a hash or a parser
// or, once, shown to the person who receives a key.
func (s Secret) Reveal() string { return s.text }

// Empty reports whether the secret is empty.
func (s Secret) Empty() bool { return s.text == "" }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb reaches the text.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML use.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
