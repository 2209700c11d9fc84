package location

import (
	"errors"
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
