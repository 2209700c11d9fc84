// Command keyward creates and revokes API keys, users and tokens, and serves
// the checks of a proxy's requests. Each command reads its arguments, calls the
// package that does the work, and prints the result.
package main

import (
	"context"
	"io"
	"os"
	"time"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/issuers"
	"keyward/cmd/keyward/records"
	"keyward/cmd/keyward/stores"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// commands is the command line.
type commands struct {
	Serve   serveCommand            `cmd:"" help:"Run the server."`
	Key     records.KeyCommands     `cmd:"" help:"Create, list, revoke and rotate API keys."`
	User    records.UserCommands    `cmd:"" help:"Manage users."`
	Project records.ProjectCommands `cmd:"" help:"Manage projects."`
	Client  records.ClientCommands  `cmd:"" help:"Manage OAuth clients."`
	Token   records.TokenCommands   `cmd:"" help:"Revoke tokens."`
	Admin   records.AdminCommands   `cmd:"" help:"Make the first administrator."`
	Audit   records.AuditCommands   `cmd:"" help:"Read the audit log."`
	Issuer  issuers.Commands        `cmd:"" help:"Manage the keys with which the issuer signs tokens."`
	Store   stores.Commands         `cmd:"" help:"Manage the database that has the records of all machines."`
	Limits  records.LimitsCommands  `cmd:"" help:"Show or reset a key's rate limit on a running server."`
	Check   checkCommand            `cmd:"" help:"Decide a request as the server would, and explain the decision."`
	Config  configCommands          `cmd:"" help:"Validate a configuration."`
	Version versionCommand          `cmd:"" help:"Print the version."`

	HashPasswords hashCommand `cmd:"" hidden:"" help:"Hash passwords for a server, which starts this command itself."`
}

// run runs one command and returns its exit code. It ends early with ctx.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) (string, bool)) int {
	env := &command.Env{Context: ctx, Stdin: stdin, Stdout: stdout, Stderr: stderr, Getenv: getenv, Now: time.Now}
	return env.Run(&commands{}, args)
}
