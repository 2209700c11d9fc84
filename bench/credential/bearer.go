package credential

import (
	"math/rand/v2"
	"strings"

	"keyward/apikey"
	"keyward/authz"
)

// KeyPrefix begins every key.
const KeyPrefix = "kw_"

// Bearer returns the value of Authorization for a key.
func Bearer(key string) string { return "Bearer " + key }

// AnyOf returns a source of random elements.
func AnyOf(values []string) func() string {
	return func() string { return values[rand.IntN(len(values))] }
}

// AnyKey returns a source of values of Authorization for random keys.
func AnyKey(secrets []string) func() string {
	pick := AnyOf(secrets)
	return func() string { return Bearer(pick()) }
}

// Bearers returns the value of Authorization for each key.
func Bearers(secrets []string) []string {
	values := make([]string, len(secrets))
	for i, s := range secrets {
		values[i] = Bearer(s)
	}
	return packed(values)
}

// packed returns the same texts in one piece of memory. This process's garbage
// collector would take a tenth of a second to mark a million pieces, on the
// client's only core, and its pauses would be attributed to the server.
func packed(texts []string) []string {
	all, from := strings.Join(texts, ""), 0
	for i, text := range texts {
		texts[i] = all[from : from+len(text)]
		from += len(text)
	}
	return texts
}

// UnknownKeys are well-formed keys that do not exist, more than the negative
// cache holds.
func UnknownKeys() []string {
	values := make([]string, 300_000)
	for i := range values {
		values[i] = Bearer(must(apikey.Generate(randomBytes{}, KeyPrefix, apikey.FormatKeyward)).Reveal())
	}
	return packed(values)
}

// JunkKeys have the form of keys, but a wrong checksum.
func JunkKeys() []string {
	values := UnknownKeys()
	for i, v := range values {
		last := byte('0')
		if v[len(v)-1] == last {
			last = '1'
		}
		values[i] = v[:len(v)-1] + string(last)
	}
	return values
}

// randomBytes is the source for keys that are not secret.
type randomBytes struct{}

func (randomBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return len(p), nil
}

func must(secret authz.Secret, err error) authz.Secret {
	if err != nil {
		panic(err) // the source of randomness does not fail
	}
	return secret
}
