package password

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"keyward/authz"
)

// The first bytes of a child's responses; after isHash comes the hash.
const (
	isRight        = 'y'
	isWrong        = 'n'
	isUnverifiable = 'e'
	isHash         = 'h'
)

var (
	errUnverifiable = errors.New("password: a stored hash that can't be verified")
	errMalformed    = errors.New("a malformed answer")
)

// verify asks the child whether the stored hash is of the password.
func (c *process) verify(hash, password authz.Secret, timeout time.Duration) (bool, error) {
	if hash.Empty() {
		return false, errUnverifiable // it would ask for a new hash
	}
	response, err := c.exchange(hash.Reveal(), password, timeout)
	switch {
	case err != nil:
		return false, err
	case response == isRight:
		return true, nil
	case response == isWrong:
		return false, nil
	case response == isUnverifiable:
		return false, errUnverifiable
	default:
		return false, errMalformed
	}
}

// hash asks the child for a new hash of the password: the request of one has no
// stored hash.
func (c *process) hash(password authz.Secret, timeout time.Duration) (string, error) {
	response, err := c.exchange("", password, timeout)
	switch {
	case err != nil:
		return "", err
	case response != isHash:
		return "", errMalformed
	}
	return readText(c.out)
}

// exchange sends a request and returns the first byte of the response.
func (c *process) exchange(hash string, password authz.Secret, timeout time.Duration) (byte, error) {
	deadline := time.Now().Add(timeout)
	if err := errors.Join(c.in.SetDeadline(deadline), c.out.SetDeadline(deadline)); err != nil {
		return 0, err
	}
	request := appendText(appendText(nil, hash), password.Reveal())
	defer clear(request)
	if _, err := c.in.Write(request); err != nil {
		return 0, err
	}
	var response [1]byte
	_, err := io.ReadFull(c.out, response[:])
	return response[0], err
}

// Hashing is what a child does. Both must be set.
type Hashing struct {
	Verify func(hash, password authz.Secret) (bool, error)
	Hash   func(password authz.Secret) (string, error)
}

// Serve is the loop of a child, after [LowerPriority] if it is to have that. It
// answers requests, each a stored hash and a password with their lengths before
// them, until the input ends. Without a stored hash the response is a new one.
func Serve(in io.Reader, out io.Writer, hashing Hashing) error {
	requests := bufio.NewReader(in)
	for {
		hash, err := readText(requests)
		if errors.Is(err, io.EOF) {
			return nil // the parent has ended or closed the pipe
		}
		if err != nil {
			return err
		}
		password, err := readText(requests)
		if err != nil {
			return err
		}
		if _, err := out.Write(hashing.respond(hash, authz.NewSecret(password))); err != nil {
			return err
		}
	}
}

func (h Hashing) respond(hash string, password authz.Secret) []byte {
	if hash == "" {
		hash, err := h.Hash(password)
		if err != nil {
			return []byte{isUnverifiable}
		}
		return appendText([]byte{isHash}, hash)
	}
	switch right, err := h.Verify(authz.NewSecret(hash), password); {
	case err != nil:
		return []byte{isUnverifiable}
	case right:
		return []byte{isRight}
	default:
		return []byte{isWrong}
	}
}

// appendText writes a text of at most 64 KiB, far more than a hash or a
// password has.
func appendText(dst []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(text))), text...)
}

func readText(r io.Reader) (string, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	text := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, text)
	return string(text), err
}
