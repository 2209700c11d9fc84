package importer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"keyward/passwordhash"
	"keyward/store"
)

// ReadHtpasswd reads names and hashes of passwords from an htpasswd file: lines
// of NAME:HASH or NAME:HASH:COMMENT. Empty lines, lines that begin with #, a
// byte order mark at the start, and white space at the end of lines are left
// out. Hashes that passwordhash.Check refuses, and what is not a name, are
// store.ErrInvalid; a name that is there twice is store.ErrDuplicate. All
// problems are reported at once, by line.
func ReadHtpasswd(in io.Reader) ([]store.ImportedUser, error) {
	var all []store.ImportedUser
	var refused refusals
	seen := map[string]bool{}
	scan := bufio.NewScanner(withoutMark(in))
	number := 1
	for ; scan.Scan(); number++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		user, err := readUser(strings.TrimRight(scan.Text(), " \t\r"))
		if err == nil && seen[user.Name] {
			err = fmt.Errorf("this user: %w", store.ErrDuplicate)
		}
		refused.add(number, err)
		seen[user.Name], user.Line = true, number
		all = append(all, user)
	}
	switch err := scan.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		refused.add(number, fmt.Errorf("%w: longer than 64 KiB", store.ErrInvalid))
	case err != nil:
		return nil, fmt.Errorf("reading users: %w", err)
	}
	if err := refused.err(); err != nil {
		return nil, err
	}
	return all, nil
}

// readUser reads a line that is neither empty nor a comment.
func readUser(line string) (store.ImportedUser, error) {
	name, rest, found := strings.Cut(line, ":")
	if !found || !store.ValidUserName(name) {
		return store.ImportedUser{}, fmt.Errorf("%w: not NAME:HASH", store.ErrInvalid)
	}
	if isDigest(rest) {
		return store.ImportedUser{}, fmt.Errorf("%w: of an htdigest file (NAME:REALM:HASH), whose hashes Keyward cannot verify: have the user set a new password (keyward user set NAME)", store.ErrInvalid)
	}
	hash, comment, _ := strings.Cut(rest, ":") // no hash that is accepted has a colon
	if hash == "pbkdf2" || hash == "scrypt" {
		hash += ":" + comment // Werkzeug's have colons, and the error should name them
	}
	hash = strings.TrimRight(hash, " \t")
	if err := passwordhash.Check(hash); err != nil {
		return store.ImportedUser{}, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	return store.ImportedUser{Name: name, Password: hash}, nil
}

// isDigest reports whether what follows the name is REALM:HASH, with the MD5
// hash of an htdigest file.
func isDigest(rest string) bool {
	realm, sum, found := strings.Cut(rest, ":")
	return found && len(sum) == 32 && strings.Trim(sum, "0123456789abcdef") == "" && passwordhash.Check(realm) != nil
}
