package main

import (
	"keyward/passwordhash"
	"keyward/verifier/password"
)

// hashCommand is what a server runs to have passwords hashed in another process.
type hashCommand struct {
	LowPriority bool `help:"Run at low CPU priority."`
}

const (
	hashCommandName    = "hash-passwords"
	hashLowPriorityArg = "--low-priority"
)

// Run answers questions until standard input ends.
func (c *hashCommand) Run(env *environment) error {
	if c.LowPriority {
		password.LowerPriority()
	}
	return password.Serve(env.stdin, env.stdout, passwordhash.Verify)
}
