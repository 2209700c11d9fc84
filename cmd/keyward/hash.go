package main

import (
	"crypto/rand"

	"keyward/authz"
	"keyward/passwordhash"
	"keyward/verifier/password"

	"keyward/cmd/keyward/command"
)

// hashCommand hashes passwords in a process that a server starts for it.
type hashCommand struct {
	LowPriority bool `help:"Run at low CPU priority."`
}

const (
	hashCommandName    = "hash-passwords"
	hashLowPriorityArg = "--low-priority"
)

// Run answers requests until standard input ends.
func (c *hashCommand) Run(env *command.Env) error {
	if c.LowPriority {
		password.LowerPriority()
	}
	return password.Serve(env.Stdin, env.Stdout, password.Hashing{
		Verify: passwordhash.Verify,
		Hash:   func(pass authz.Secret) (string, error) { return passwordhash.Hash(rand.Reader, pass) },
	})
}
