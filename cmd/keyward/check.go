package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"keyward/authz"
	"keyward/keystore"
	"keyward/server"
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
	output
}

// Run evaluates the request of the flags, or those on standard input.
func (c *checkCommand) Run(env *environment) error {
	single, err := c.request(env)
	if err != nil {
		return err
	}
	cfg, err := loadConfig(c.Config, env)
	if err != nil {
		env.note("%v", err)
		return exitCode(exitUnjudged)
	}
	core, err := server.NewCore(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		env.note("%v", err)
		return exitCode(exitUnjudged)
	}
	defer core.Close() // nothing is written by it
	if err := core.Ready(); err != nil {
		env.note("not ready: %v", err)
	}
	if c.Request != "" {
		return checkLines(env, core.Checker())
	}
	v := judge(env.ctx, core.Checker(), single)
	if err := c.print(env, v, v.write); err != nil {
		return err
	}
	return v.exit()
}

// request returns the request that the flags describe.
func (c *checkCommand) request(env *environment) (*authz.Request, error) {
	switch {
	case c.Request != "" && (c.Path != "" || len(c.Header) > 0):
		return nil, usagef("--request and --path or --header don't go together")
	case c.Request != "" && c.Request != "-":
		return nil, usagef("--request: want -, for standard input")
	case c.Request == "" && c.Path == "":
		return nil, usagef("--path is missing; --path /x, or --request - for requests on standard input")
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
			return nil, usagef("%s: want 'Name: value'", line.from)
		}
		r.Headers = append(r.Headers, authz.Header{Name: authz.LowerASCII(name), Value: strings.Trim(value, " \t")})
	}
	return r, nil
}

// write prints a verdict as text.
func (v *verdict) write(w io.Writer) {
	table(w, func(row func(...any)) {
		for _, s := range v.Steps {
			row(s.Step, keystore.Shown(s.Outcome))
		}
		row("decision", fmt.Sprintf("%s, %d %s: %s", v.Decision, v.Status, http.StatusText(v.Status), v.Reason))
		if v.Subject != "" {
			row("subject", keystore.Shown(v.Subject))
		}
		if v.ClientID != "" {
			row("client", v.ClientID)
		}
		for _, name := range v.setNames() {
			row("set", name+": "+keystore.Shown(v.Set[name]))
		}
		if len(v.Remove) > 0 {
			row("remove", keystore.Shown(strings.Join(v.Remove, " ")))
		}
		if v.RemoveQuery != "" {
			row("remove query", v.RemoveQuery)
		}
	})
}

// exit returns the exit code for a verdict, nil for an allow.
func (v *verdict) exit() error {
	switch v.Decision {
	case "allow":
		return nil
	case "deny":
		return exitCode(exitRefused)
	default:
		return exitCode(exitUnjudged)
	}
}
