// Command keyward creates and revokes API keys, users and tokens, and serves
// the checks of a proxy's requests. Each command reads its arguments, calls the
// package that does the work, and prints the result.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// The exit codes.
const (
	exitDone    = 0 // or allowed
	exitRefused = 1 // or not found, or failed
	exitUsage   = 2
	exitError   = 3 // check could not decide
)

// commands is the command line.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the server."`
	Key     keyCommands    `cmd:"" help:"Create, list, revoke and rotate API keys."`
	User    userCommands   `cmd:"" help:"Manage users."`
	Token   tokenCommands  `cmd:"" help:"Revoke tokens."`
	Audit   auditCommands  `cmd:"" help:"Read the audit log."`
	Limits  limitsCommands `cmd:"" help:"Show or reset a key's rate limit on a running server."`
	Check   checkCommand   `cmd:"" help:"Decide a request as the server would, and explain the decision."`
	Config  configCommands `cmd:"" help:"Validate a configuration."`
	Version versionCommand `cmd:"" help:"Print the version."`

	HashPasswords hashCommand `cmd:"" hidden:"" help:"Hash passwords for a server, which starts this command itself."`
}

// environment is all that a command uses of its process.
type environment struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) (string, bool)
	now            func() time.Time
}

// note prints a message that is not part of the result.
func (e *environment) note(format string, args ...any) {
	fmt.Fprintf(e.stderr, "keyward: "+format+"\n", args...)
}

// usageError is an error in the arguments of a command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is the exit code of an outcome that is already printed.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// run runs one command and returns its exit code. It ends early with ctx.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) (string, bool)) int {
	env := &environment{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, now: time.Now}
	return env.run(args)
}

func (e *environment) run(args []string) int {
	if !utf8.ValidString(strings.Join(args, "")) {
		e.note("an argument is not valid UTF-8") // it would be stored with other characters than given
		return exitUsage
	}
	exited := -1 // set when help was printed; kong continues to parse after that
	parser, err := kong.New(&commands{},
		kong.Name("keyward"),
		kong.Description("API keys, checked beside your proxy."),
		kong.Writers(e.stdout, e.stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(e),
	)
	if err != nil {
		e.note("%v", err)
		return exitUsage
	}
	command, err := parser.Parse(args)
	switch {
	case exited >= 0:
		return exited
	case err != nil:
		e.note("%s", withoutArguments(err.Error(), args))
		e.note("run with --help for usage")
		return exitUsage
	}
	return e.codeOf(command.Run())
}

// codeOf prints an error and returns its exit code.
func (e *environment) codeOf(err error) int {
	var code exitCode
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		e.note("%v", err)
		return exitUsage
	default:
		e.note("%v", err)
		return exitRefused
	}
}

// withoutArguments returns the message if it repeats no argument, in any case
// and with or without Go's quotes. Short arguments and the names of flags may be
// repeated. A misplaced argument may be a key or a password.
func withoutArguments(message string, args []string) string {
	const short = 7
	lowered := strings.ToLower(message)
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			_, arg, _ = strings.Cut(arg, "=")
		}
		quoted := strings.Trim(strconv.Quote(arg), `"`)
		if len(arg) > short && (strings.Contains(lowered, strings.ToLower(arg)) || strings.Contains(lowered, strings.ToLower(quoted))) {
			return "unexpected argument, not repeated here since it may be a secret"
		}
	}
	return message
}
