package pgkeys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"keyward/authz"
	"keyward/manage/signingkeys"
)

// minSecret is the least length of the secret in bytes.
const minSecret = 32

var (
	// ErrShortSecret is a secret that could be guessed.
	ErrShortSecret = fmt.Errorf("the secret under which signing keys are encrypted must have at least %d bytes", minSecret)
	// ErrOtherSecret is a database whose signing keys were encrypted under another
	// secret.
	ErrOtherSecret = errors.New("the signing keys in the database were encrypted under another secret")

	errUnsealable = errors.New("what the database has of it cannot be decrypted: it was changed, or belongs to another key")
)

// ReadSecret reads the file with the secret, which may end with one newline. A secret that is
// too short is ErrShortSecret.
func ReadSecret(file string) (authz.Secret, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return authz.Secret{}, fmt.Errorf("reading the secret of the signing keys: %w", err)
	}
	text, _ = bytes.CutSuffix(text, []byte("\n"))
	if len(text) < minSecret {
		return authz.Secret{}, fmt.Errorf("%q: %w", file, ErrShortSecret)
	}
	return authz.NewSecret(string(text)), nil
}

// sealer encrypts private keys with AES-256-GCM, under a key that is derived from the
// secret (HKDF, RFC 5869). A secret has many random bits: it is not hashed slowly.
type sealer struct {
	aead     cipher.AEAD
	secretID string // by which another secret is recognized
}

func newSealer(secret authz.Secret) (*sealer, error) {
	if len(secret.Reveal()) < minSecret {
		return nil, ErrShortSecret
	}
	derive := func(purpose string, size int) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte(secret.Reveal()), nil, "keyward signing keys: "+purpose, size)
	}
	key, err := derive("AES-256-GCM", 32)
	if err != nil {
		return nil, err
	}
	id, err := derive("id of the secret", 16)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	// A key is encrypted once, with a random nonce, which comes before the ciphertext.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &sealer{aead, hex.EncodeToString(id)}, err
}

// bound is what a ciphertext belongs to: it is useless in the place of another.
func bound(record *signingkeys.Record) []byte {
	return []byte(string(record.Algorithm) + "\x00" + record.ID)
}

func (s *sealer) seal(key *signingkeys.Key) ([]byte, error) {
	der, err := signingkeys.MarshalPrivate(key.Private)
	if err != nil {
		return nil, err
	}
	return s.aead.Seal(nil, nil, der, bound(&key.Record)), nil
}

// open decrypts the key of the record. If that cannot be done, the key is lost.
func (s *sealer) open(record signingkeys.Record, sealed []byte) signingkeys.Key {
	key := signingkeys.Key{Record: record}
	der, err := s.aead.Open(nil, nil, sealed, bound(&record))
	if err != nil {
		key.Lost = errUnsealable
		return key
	}
	private, algorithm, err := signingkeys.ParsePrivate(der, record.ID)
	switch {
	case err != nil:
		key.Lost = err
	case algorithm != record.Algorithm:
		key.Lost = errUnsealable
	default:
		key.Private = private
	}
	return key
}
