// Command keyward makes and ends API keys, checks requests by them, and
// serves those checks to a proxy. It holds no logic of its own: each command
// reads its arguments and asks the package that knows.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitDone     = 0 // or allowed
	exitRefused  = 1 // or not found, or failed
	exitUsage    = 2
	exitUnjudged = 3 // check could not judge
)

// commands is the command line.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Answer a proxy's checks until stopped."`
	Key     keyCommands    `cmd:"" help:"Make, list, end and replace API keys."`
	User    userCommands   `cmd:"" help:"Keep the users that keys act for."`
	Check   checkCommand   `cmd:"" help:"Judge a request as the server would, and say why."`
	Config  configCommands `cmd:"" help:"Look at a configuration."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// environment is what a command has of the world.
type environment struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) (string, bool)
	now            func() time.Time
}

// note tells something that is no result.
func (e *environment) note(format string, args ...any) {
	fmt.Fprintf(e.stderr, "keyward: "+format+"\n", args...)
}

// usageError is a wrong use of a command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is an outcome that was printed already.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// run runs one command and returns its exit code. It ends early with ctx.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) (string, bool)) int {
	env := &environment{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, now: time.Now}
	return env.run(args)
}

func (e *environment) run(args []string) int {
	exited := -1 // set when the help was printed, after which kong goes on parsing
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
		e.note("--help tells how it is used")
		return exitUsage
	}
	return e.codeOf(command.Run())
}

// codeOf prints an error and returns the exit code it stands for.
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

// withoutArguments leaves long arguments out of a message: one that stands
// where it does not belong may be a key.
func withoutArguments(message string, args []string) string {
	const longest = 24
	for _, arg := range args {
		if name, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(name, "-") {
			arg = value
		}
		if len(arg) > longest {
			message = strings.ReplaceAll(message, arg, "[…]")
		}
	}
	return message
}
