// Package successor encrypts the refresh token that follows another under that one alone.
package successor

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"

	"keyward/authz"
)

var errSuccessor = errors.New("a refresh token's successor cannot be decrypted")

// Seal encrypts the next token so that the token before it is needed to read it. The
// key is of that token alone, whose 256 random bits encrypt one text: no nonce is used twice.
func Seal(token, next authz.Secret) ([]byte, error) {
	aead, err := cipherOf(token)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, make([]byte, aead.NonceSize()), []byte(next.Reveal()), nil), nil
}

// Open returns the next token; the error does not say why it cannot.
func Open(token authz.Secret, sealed []byte) (authz.Secret, error) {
	aead, err := cipherOf(token)
	if err != nil {
		return authz.Secret{}, err
	}
	text, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed, nil)
	if err != nil {
		return authz.Secret{}, errSuccessor
	}
	return authz.NewSecret(string(text)), nil
}

// cipherOf is AES-256-GCM under a key derived from the token (RFC 5869).
func cipherOf(token authz.Secret) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(token.Reveal()), nil, "keyward refresh token successor", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
