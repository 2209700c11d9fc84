package postgres

import (
	"testing"

	"keyward/e2e/stack"
)

// keyward is the program.
var keyward string

func TestMain(m *testing.M) { stack.Main(m, &keyward) }
