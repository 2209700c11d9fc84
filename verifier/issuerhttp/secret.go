package issuerhttp

import (
	"os"
	"strings"

	"keyward/authz"
)

// ReadClientSecret reads the secret by which an issuer knows Keyward. The file may end
// with a newline, which is not a part of it.
func ReadClientSecret(path string) (authz.Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return authz.Secret{}, err
	}
	return authz.NewSecret(strings.TrimRight(string(text), "\r\n")), nil
}
