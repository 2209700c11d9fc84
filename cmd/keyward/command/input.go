package command

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"keyward/authz"
)

// maxSecret bounds a secret that is read from standard input, in bytes.
const maxSecret = 64 << 10

// ReadSecret reads a secret from standard input until its end, and drops one
// trailing end of line. At a terminal it prompts, and does not echo the secret.
func (e *Env) ReadSecret(prompt string) (authz.Secret, error) {
	if f, ok := e.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(e.Stderr, prompt+": ")
		text, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.Stderr)
		if err != nil {
			return authz.Secret{}, fmt.Errorf("reading standard input: %w", err)
		}
		return authz.NewSecret(string(text)), nil
	}
	text, err := io.ReadAll(io.LimitReader(e.Stdin, maxSecret+1))
	switch {
	case err != nil:
		return authz.Secret{}, fmt.Errorf("reading standard input: %w", err)
	case len(text) > maxSecret:
		return authz.Secret{}, fmt.Errorf("standard input: longer than %d bytes", maxSecret)
	}
	line := strings.TrimSuffix(string(text), "\n")
	return authz.NewSecret(strings.TrimSuffix(line, "\r")), nil
}
