package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"keyward/admin/adminclient"
	"keyward/config"
	"keyward/store"

	"keyward/cmd/keyward/command"
)

// LimitsCommands are the commands `keyward limits`.
type LimitsCommands struct {
	Show  limitsShow  `cmd:"" help:"Show what remains of a key's rate limit on a running server."`
	Reset limitsReset `cmd:"" help:"Reset the rate limit of a key, as if it had never been used."`
}

type limitsShow struct {
	ID string `arg:"" help:"Key id (k_…)."`
	adminListener
	command.Output
}

// limitView is the state of a key's limit as the server reports it. Times are in
// seconds from now.
type limitView struct {
	ID         string  `json:"id"`
	Limit      string  `json:"limit"` // api_key, or key for a rate of the key's own
	Rate       string  `json:"rate"`
	Burst      int     `json:"burst"`
	Remaining  int     `json:"remaining"`
	ResetAfter float64 `json:"reset_seconds"`
	RetryAfter float64 `json:"retry_after_seconds"`
}

// Run asks the server, which does not charge the key for it.
func (c *limitsShow) Run(env *command.Env) error {
	answer, err := c.askOfLimit(env, http.MethodGet, c.ID)
	if err != nil {
		return err
	}
	view := limitView{ID: c.ID}
	if err := json.Unmarshal(answer, &view); err != nil || view.Limit == "" {
		return errors.New("unexpected response: not a Keyward admin listener, or an incompatible version")
	}
	return c.Print(env, view, view.write)
}

func (v *limitView) write(w io.Writer) {
	command.Table(w, func(row func(...any)) {
		row("id", v.ID)
		row("limit", store.Shown(v.Limit))
		row("rate", store.Shown(v.Rate))
		row("burst", v.Burst)
		row("remaining", v.Remaining)
		row("retry after", fromNow(v.RetryAfter))
		row("reset after", fromNow(v.ResetAfter))
	})
}

// fromNow formats a number of seconds as a duration; a dash for none.
func fromNow(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
}

type limitsReset struct {
	ID string `arg:"" help:"Key id (k_…)."`
	adminListener
	command.Output
}

// Run resets what the key has used on the server.
func (c *limitsReset) Run(env *command.Env) error {
	if _, err := c.askOfLimit(env, http.MethodDelete, c.ID); err != nil {
		return err
	}
	result := struct {
		ID    string `json:"id"`
		Reset bool   `json:"reset"`
	}{c.ID, true}
	return c.Print(env, result, func(w io.Writer) { fmt.Fprintln(w, "reset", c.ID) })
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// askOfLimit asks the server about the limit of a key. An argument that is not
// an id may be a key: it is neither sent nor printed.
func (l *adminListener) askOfLimit(env *command.Env, method, id string) ([]byte, error) {
	random, ok := strings.CutPrefix(id, "k_")
	if !ok || len(id) != idLen || strings.Trim(random, base62) != "" {
		return nil, errors.New("no such key: an id is k_ and 12 characters; `keyward key verify` prints the id of a key")
	}
	return l.ask(env, method, "/limits/"+id)
}

// adminListener has the flags that name the running server to ask.
type adminListener struct {
	Config string `placeholder:"FILE" help:"Configuration of the server, for the address and TLS settings of its admin listener."`
	Admin  string `placeholder:"ADDRESS" help:"host:port or unix:///path of the admin listener (default 127.0.0.1:9193, or the configuration's listen.admin)."`
	Cert   string `and:"cert" placeholder:"FILE" help:"Client certificate, required if tls.admin.client_ca_file is set."`
	Key    string `and:"cert" placeholder:"FILE" help:"Private key of the client certificate."`
}

func (l *adminListener) ask(env *command.Env, method, path string) ([]byte, error) {
	cfg, err := env.LoadConfig(l.Config)
	if err != nil {
		return nil, err
	}
	address, err := l.address(cfg)
	if err != nil {
		return nil, err
	}
	client := adminclient.Client{Address: address, Server: cfg.TLS.Admin, CertFile: l.Cert, KeyFile: l.Key}
	return client.Ask(env.Context, method, path)
}

// address returns the address of the admin listener, in the form of listen.admin.
func (l *adminListener) address(cfg *config.Config) (string, error) {
	address := cfg.Listen.Admin
	if l.Admin != "" {
		address = l.Admin
	}
	if address == "" {
		return "", fmt.Errorf("%s has no admin listener: listen.admin is empty", l.Config)
	}
	if strings.HasPrefix(address, "unix:///") {
		return address, nil
	}
	_, port, err := net.SplitHostPort(address)
	switch {
	case err != nil || strings.Contains(address, "/"):
		return "", command.Usagef("--admin %q: want host:port or unix:///path", l.Admin)
	case port == "0":
		return "", command.Usagef("the admin listener has whatever port was free; give it with --admin")
	}
	return address, nil
}
