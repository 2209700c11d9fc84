package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"keyward/admin/adminclient"
	"keyward/apikey"
	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/config"
	"keyward/manage"
	"keyward/store/confusable"
)

// LimitsCommands are the commands `keyward limits`.
type LimitsCommands struct {
	Show  limitsShow  `cmd:"" help:"Show what remains of a key's rate limit on a running server."`
	Reset limitsReset `cmd:"" help:"Reset the rate limit of a key, as if it had never been used."`
}

type limitsShow struct {
	ID string `arg:"" help:"Key id (k_…)."`
	adminListener
	location.Server
	command.Output
}

// limitView is the state of a key's limit as the server reports it. Times are in
// seconds from now.
type limitView struct {
	ID string `json:"id"`
	manage.KeyLimit
}

// Run asks the server, which does not charge the key for it.
func (c *limitsShow) Run(env *command.Env) error {
	remote, err := c.Connect(env, c.flags()...)
	if err != nil {
		return err
	}
	if err := checkID(c.ID); err != nil {
		return err
	}
	view := limitView{ID: c.ID}
	if remote != nil {
		defer remote.Close()
		view.KeyLimit, err = remote.KeyLimit(env.Context, c.ID)
		err = location.ExplainKey(location.CauseOf(err), c.ID, "at "+remote.Server())
	} else {
		view.KeyLimit, err = c.limit(env, c.ID)
	}
	if err != nil {
		return err
	}
	return c.Print(env, view, view.write)
}

func (v *limitView) write(w io.Writer) {
	command.Table(w, func(row func(...any)) {
		row("id", v.ID)
		row("limit", confusable.Shown(v.Limit))
		row("rate", confusable.Shown(v.Rate))
		row("burst", v.Burst)
		row("remaining", v.Remaining)
		row("retry after", fromNow(v.Retry))
		row("reset after", fromNow(v.Reset))
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
	location.Server
	command.Output
}

// Run resets what the key has used on the server. The counts are in the memory of the
// server or in its shared store, and who may reset them is for its API to decide.
func (c *limitsReset) Run(env *command.Env) error {
	remote, err := c.Connect(env)
	if err != nil {
		return err
	}
	if remote == nil {
		return command.Usagef("the counts are reset through the API of a running Keyward: name it with --server or $%s", location.ServerVariable)
	}
	defer remote.Close()
	if err := checkID(c.ID); err != nil {
		return err
	}
	if err := remote.ResetKeyLimit(env.Context, c.ID); err != nil {
		return location.ExplainKey(location.CauseOf(err), c.ID, "at "+remote.Server())
	}
	result := struct {
		ID    string `json:"id"`
		Reset bool   `json:"reset"`
	}{c.ID, true}
	return c.Print(env, result, func(w io.Writer) { fmt.Fprintln(w, "reset", c.ID) })
}

// checkID refuses what is not the id of a key. It may be a key, which is neither sent
// nor printed.
func checkID(id string) error {
	if _, ok := apikey.ParseID([]byte(id)); !ok {
		return errors.New("no such key: an id is k_ and 12 characters; `keyward key verify` prints the id of a key")
	}
	return nil
}

// adminListener has the flags that name the running server to ask.
type adminListener struct {
	Config string `placeholder:"FILE" help:"Configuration of the server, for the address and TLS settings of its admin listener."`
	Admin  string `placeholder:"ADDRESS" help:"host:port or unix:///path of the admin listener (default 127.0.0.1:9193, or the configuration's listen.admin)."`
	Cert   string `and:"cert" placeholder:"FILE" help:"Client certificate, required if tls.admin.client_ca_file is set."`
	Key    string `and:"cert" placeholder:"FILE" help:"Private key of the client certificate."`
}

func (l *adminListener) flags() []location.FileFlag {
	return []location.FileFlag{
		{Name: "--config", Given: l.Config != "", Names: true},
		{Name: "--admin", Given: l.Admin != "", Names: true},
		{Name: "--cert", Given: l.Cert != ""},
		{Name: "--key", Given: l.Key != ""},
	}
}

// limit asks the listener for a key's limit.
func (l *adminListener) limit(env *command.Env, id string) (limit manage.KeyLimit, err error) {
	cfg, err := env.LoadConfig(l.Config)
	if err != nil {
		return limit, err
	}
	address, err := l.address(cfg)
	if err != nil {
		return limit, err
	}
	listener := adminclient.Client{Address: address, Server: cfg.TLS.Admin, CertFile: l.Cert, KeyFile: l.Key}
	answer, err := listener.Get(env.Context, "/limits/"+id)
	if err != nil {
		return limit, err
	}
	if err := json.Unmarshal(answer, &limit); err != nil || limit.Limit == "" {
		return limit, errors.New("unexpected response: not a Keyward admin listener, or an incompatible version")
	}
	return limit, nil
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
