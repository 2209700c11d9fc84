package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/chars"
	"keyward/engine"
	"keyward/explain"
	"keyward/store/confusable"

	"keyward/cmd/keyward/command"
)

type checkCommand struct {
	Config  string   `placeholder:"FILE" help:"Configuration file (default: built-in defaults)."`
	Method  string   `default:"GET" help:"HTTP method of the request."`
	Path    string   `placeholder:"TARGET" help:"Target of the request: path and query, as sent."`
	Header  []string `sep:"none" placeholder:"NAME: VALUE" help:"Header line, or @FILE to read header lines from a file and @- from standard input, where other processes cannot see a key. Repeatable."`
	Host    string   `help:"Host header of the request."`
	Scheme  string   `default:"http" help:"Scheme that the client used, as the proxy reports it: http or https."`
	Peer    string   `default:"127.0.0.1" help:"Address of the proxy's peer."`
	Route   string   `help:"Route that the proxy selects, as with keyward.route."`
	Request string   `placeholder:"-" help:"Read requests from standard input, one JSON object per line, and print one JSON line for each."`
	command.Output
}

// Run evaluates the request of the flags, or those on standard input.
func (c *checkCommand) Run(env *command.Env) error {
	single, err := c.request(env)
	if err != nil {
		return err
	}
	cfg, err := env.LoadConfig(c.Config)
	if err != nil {
		env.Note("%v", err)
		return command.ExitCode(command.Undecided)
	}
	e, err := engine.Start(engine.Options{Config: cfg, DryRun: true})
	if err != nil {
		env.Note("%v", err)
		return command.ExitCode(command.Undecided)
	}
	defer e.Close() // nothing is written by it
	if err := e.Ready(); err != nil {
		env.Note("not ready: %v", err)
	}
	if c.Request != "" {
		return checkLines(env, e.Current().Checker())
	}
	v := explain.Evaluate(env.Context, e.Current().Checker(), single)
	if err := c.Print(env, v, func(w io.Writer) { writeVerdict(w, v) }); err != nil {
		return err
	}
	return exitOf(v)
}

// request returns the request that the flags describe.
func (c *checkCommand) request(env *command.Env) (*authz.Request, error) {
	switch {
	case c.Request != "" && (c.Path != "" || len(c.Header) > 0):
		return nil, command.Usagef("--request and --path or --header don't go together")
	case c.Request != "" && c.Request != "-":
		return nil, command.Usagef("--request: want -, for standard input")
	case c.Request == "" && c.Path == "":
		return nil, command.Usagef("--path is missing; --path /x, or --request - for requests on standard input")
	}
	r := &authz.Request{
		Transport: authz.TransportGRPC, Method: c.Method, Scheme: c.Scheme, Host: c.Host,
		Target: c.Path, Peer: c.Peer, RouteName: c.Route,
	}
	lines, err := headerLinesOf(env, c.Header)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		name, value, ok := strings.Cut(line.text, ":")
		if !ok || name == "" {
			return nil, command.Usagef("%s: want 'Name: value'", line.from)
		}
		r.Headers = append(r.Headers, authz.Header{Name: chars.LowerASCII(name), Value: strings.Trim(value, " \t")})
	}
	return r, nil
}

// maxLine bounds a request on standard input, in bytes.
const maxLine = 1 << 20

// checkLines prints one line for each line that it reads. A denied request is
// not a failure of the command; one that could not be decided, or read, is.
func checkLines(env *command.Env, checker *authz.Checker) error {
	lines := bufio.NewScanner(env.Stdin)
	lines.Buffer(nil, maxLine)
	worst := command.Done
	for number := 1; lines.Scan(); number++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		r, err := explain.ParseRequest(lines.Bytes())
		if err != nil {
			env.Note("request line %d: %v", number, err)
			worst = max(worst, command.BadUsage)
			err = command.WriteJSON(env.Stdout, map[string]any{"decision": "error", "error": err.Error(), "line": number})
		} else {
			v := explain.Evaluate(env.Context, checker, r)
			if v.Decision == "error" {
				worst = command.Undecided
			}
			err = command.WriteJSON(env.Stdout, v)
		}
		if err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return command.Usagef("a request line of more than %d bytes", maxLine)
	} else if err != nil {
		return err
	}
	if worst != command.Done {
		return command.ExitCode(worst)
	}
	return nil
}

// writeVerdict prints a verdict as text.
func writeVerdict(w io.Writer, v *explain.Verdict) {
	command.Table(w, func(row func(...any)) {
		for _, s := range v.Steps {
			row(s.Name, confusable.Shown(s.Outcome))
		}
		row("decision", fmt.Sprintf("%s, %d %s: %s", v.Decision, v.Status, http.StatusText(v.Status), v.Reason))
		if v.Subject != "" {
			row("subject", confusable.Shown(v.Subject))
		}
		if v.ClientID != "" {
			row("client", v.ClientID)
		}
		for _, name := range slices.Sorted(maps.Keys(v.Set)) {
			row("set", name+": "+confusable.Shown(v.Set[name]))
		}
		if len(v.Remove) > 0 {
			row("remove", confusable.Shown(strings.Join(v.Remove, " ")))
		}
		if v.RemoveQuery != "" {
			row("remove query", v.RemoveQuery)
		}
	})
}

// exitOf returns the exit code for a verdict, nil for an allow.
func exitOf(v *explain.Verdict) error {
	switch v.Decision {
	case "allow":
		return nil
	case "deny":
		return command.ExitCode(command.Refused)
	default:
		return command.ExitCode(command.Undecided)
	}
}
