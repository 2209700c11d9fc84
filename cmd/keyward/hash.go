package main

import (
	"keyward/keystore"
	"keyward/password"
)

// hashCommand is what a server runs to have passwords hashed in another process.
type hashCommand struct{}

const hashCommandName = "hash-passwords"

// Run answers questions until standard input ends.
func (*hashCommand) Run(env *environment) error {
	password.LowerPriority()
	return password.Serve(env.stdin, env.stdout, keystore.VerifyPassword)
}
