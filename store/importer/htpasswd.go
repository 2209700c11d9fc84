package importer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"keyward/passwordhash"
	"keyward/store"
)

// ReadHtpasswd reads names and bcrypt hashes from an htpasswd file. Other hashes,
// and what is not a name, are store.ErrInvalid; a name that is there twice is
// store.ErrDuplicate. A byte order mark at the start is left out.
func ReadHtpasswd(in io.Reader) ([]store.ImportedUser, error) {
	var all []store.ImportedUser
	seen := map[string]bool{}
	scan := bufio.NewScanner(withoutMark(in))
	for number := 1; scan.Scan(); number++ {
		line := scan.Bytes()
		if blank := bytes.TrimSpace(line); len(blank) == 0 || blank[0] == '#' {
			continue
		}
		name, hash, found := strings.Cut(strings.TrimRight(string(line), " \t"), ":")
		switch {
		case !found || !store.ValidUserName(name):
			return nil, fmt.Errorf("input line %d: %w: not NAME:HASH", number, store.ErrInvalid)
		case !passwordhash.ValidBcrypt(hash):
			return nil, fmt.Errorf("input line %d: %w: only bcrypt hashes of a cost up to %d are taken over", number, store.ErrInvalid, passwordhash.MaxBcryptCost)
		case seen[name]:
			return nil, fmt.Errorf("input line %d: this user: %w", number, store.ErrDuplicate)
		}
		seen[name] = true
		all = append(all, store.ImportedUser{Line: number, Name: name, Password: hash})
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("reading users: %w", err)
	}
	return all, nil
}
