package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"keyward/authz"
)

// maxToken bounds a token, in bytes.
const maxToken = 8192

var errNotPrivate = errors.New("other users may read or write it; use chmod 600")

// ReadTokenFile reads a token: the first line of a file that no other user may access.
// The error names the file and does not quote it.
func ReadTokenFile(file string) (authz.Secret, error) {
	token, err := readTokenFile(file)
	if err != nil {
		return authz.Secret{}, fmt.Errorf("token file %q: %w", file, err)
	}
	return token, nil
}

func readTokenFile(file string) (authz.Secret, error) {
	f, err := os.Open(file)
	if err != nil {
		return authz.Secret{}, errors.Unwrap(err)
	}
	defer func() { _ = f.Close() }()
	// Of the file that is read, not of the one that may have its name by now.
	info, err := f.Stat()
	switch {
	case err != nil:
		return authz.Secret{}, errors.Unwrap(err)
	case info.IsDir():
		return authz.Secret{}, errors.New("it is a directory")
	case info.Mode().Perm()&0o077 != 0:
		return authz.Secret{}, errNotPrivate
	}
	line, err := bufio.NewReader(io.LimitReader(f, maxToken+2)).ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return authz.Secret{}, err
	case line == "":
		return authz.Secret{}, errors.New("its first line is empty")
	case len(line) > maxToken:
		return authz.Secret{}, fmt.Errorf("its first line has more than %d bytes", maxToken)
	}
	return authz.NewSecret(line), nil
}
