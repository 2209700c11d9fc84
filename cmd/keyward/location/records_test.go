package location

import (
	"errors"
	"os"
	"os/user"
	"strings"
	"testing"
)

// TestOperator: the actor of a command has a name, also where the system has none.
func TestOperator(t *testing.T) {
	none := errors.New("none")
	named := operator(func() (*user.User, error) { return &user.User{Username: "ada"}, nil }, func() (string, error) { return "server", nil })
	if named.Name() != "cli:ada@server" {
		t.Error(named.Name())
	}
	nameless := operator(func() (*user.User, error) { return nil, none }, func() (string, error) { return "", none })
	if !strings.HasPrefix(nameless.Name(), "cli:uid-") || !strings.HasSuffix(nameless.Name(), "@unknown") {
		t.Error(nameless.Name())
	}
}

// TestOperatorIsNotWhatTheEnvironmentSays: os/user takes $USER for a number that has no
// name; the audit log does not.
func TestOperatorIsNotWhatTheEnvironmentSays(t *testing.T) {
	t.Setenv("USER", "root")
	unnamed := func() (*user.User, error) {
		if name := os.Getenv("USER"); name != "" {
			return &user.User{Username: name}, nil
		}
		return nil, errors.New("none")
	}
	a := operator(unnamed, func() (string, error) { return "server", nil })
	if !strings.HasPrefix(a.Name(), "cli:uid-") || os.Getenv("USER") != "root" {
		t.Errorf("%s, and then USER=%s", a.Name(), os.Getenv("USER"))
	}
}
