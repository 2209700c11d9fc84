package records

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/config"
	"keyward/manage/api"
	"keyward/manage/fault"
	"keyward/manage/state"
)

// AdminCommands are the commands `keyward admin`.
type AdminCommands struct {
	Bootstrap adminBootstrap `cmd:"" help:"Print a link by which the first administrator is made, once, within 15 minutes."`
}

type adminBootstrap struct {
	Config string `required:"" placeholder:"FILE" help:"Configuration of the server."`
	command.Output
}

// Run issues the code, and prints its link. The server need not run yet.
func (c *adminBootstrap) Run(env *command.Env) error {
	cfg, err := config.Load(c.Config, env.Getenv)
	if err != nil {
		return err
	}
	base, err := consoleURL(cfg)
	if err != nil {
		return err
	}
	accounts, operator, err := location.OpenAccounts(env, cfg)
	if err != nil {
		return err
	}
	defer accounts.Close()
	token, code, err := accounts.CreateSetupLink(env.Context, operator)
	switch {
	case err != nil && fault.CodeOf(err) == fault.Conflict:
		return errors.New("an administrator exists, who can make others; where none can log in, `keyward user set NAME --scope keyward:admin` makes one")
	case err != nil:
		return location.CauseOf(err)
	}
	link := base + api.LinkPath(state.PurposeSetup) + token.Reveal()
	return c.Print(env, struct {
		Link    string    `json:"link"`
		Expires time.Time `json:"expires"`
	}{link, code.Expires}, func(w io.Writer) { fmt.Fprintln(w, link) })
}

// consoleURL is where the console is found: by its public URL, or on this machine.
func consoleURL(cfg *config.Config) (string, error) {
	switch listen := cfg.Listen.Console; {
	case listen == "":
		return "", errors.New("the configuration has no listen.console, which answers the link")
	case cfg.Console.PublicURL != "":
		return cfg.Console.PublicURL, nil
	case strings.HasPrefix(listen, "unix://"):
		return "", errors.New("the console listens on a unix socket: a link to it needs console.public_url")
	default:
		host, port, err := net.SplitHostPort(listen)
		if err != nil {
			return "", err
		}
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = "localhost"
		}
		scheme := "http"
		if cfg.TLS.Console.Enabled() {
			scheme = "https"
		}
		return scheme + "://" + net.JoinHostPort(host, port), nil
	}
}
