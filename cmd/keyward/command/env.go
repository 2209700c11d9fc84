// Package command is what every command has to do with its process: what it reads and
// prints, how it fails, and its exit code. It knows no command.
package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"keyward/chars"
	"keyward/config"
)

// Env is all that a command uses of its process.
type Env struct {
	Context        context.Context
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) (string, bool)
	Now            func() time.Time
}

// Note prints a message that is not part of the result. What it repeats of a server or a
// file cannot control the terminal.
func (e *Env) Note(format string, args ...any) {
	fmt.Fprintln(e.Stderr, visible(fmt.Sprintf("keyward: "+format, args...)))
}

// visible returns the text with its hidden characters escaped, but for the ends of lines.
func visible(text string) string {
	hidden := func(r rune) bool { return r != '\n' && chars.IsHidden(r) }
	if utf8.ValidString(text) && !strings.ContainsFunc(text, hidden) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if hidden(r) || r == utf8.RuneError {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// LoadConfig reads the configuration, or returns the defaults if no file is named.
func (e *Env) LoadConfig(file string) (*config.Config, error) {
	if file == "" {
		return config.Default(), nil
	}
	return config.Load(file, e.Getenv)
}

// Run runs the command that the arguments name of the grammar, a pointer to a struct
// for kong, and returns its exit code.
func (e *Env) Run(grammar any, args []string) int {
	if !utf8.ValidString(strings.Join(args, "")) {
		e.Note("an argument is not valid UTF-8") // it would be stored with other characters than given
		return BadUsage
	}
	exited := -1 // set when help was printed; kong continues to parse after that
	parser, err := kong.New(grammar,
		kong.Name("keyward"),
		kong.Description("API keys, checked beside your proxy."),
		kong.Writers(e.Stdout, e.Stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(e),
	)
	if err != nil {
		e.Note("%v", err)
		return BadUsage
	}
	command, err := parser.Parse(args)
	switch {
	case exited >= 0:
		return exited
	case err != nil:
		e.Note("%s", withoutArguments(err.Error(), args))
		e.Note("run with --help for usage")
		return BadUsage
	}
	return e.codeOf(command.Run())
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
