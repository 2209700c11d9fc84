package postgres

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/e2e/stack"
	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
)

// central is the name of the database.
const central = "keyward"

// node is one Keyward with copies of its own.
type node struct {
	t       *testing.T
	name    string
	dir     string
	ports   stack.Ports
	process *stack.Process
}

// fleet is two Keywards that check and one with a console, which share a database.
type fleet struct {
	t        *testing.T
	url      string
	replicas []*node
	console  *node
	admin    string // an administrator's key
}

// migrate makes the database of a cluster.
func migrate(t *testing.T, c *postgrestest.Cluster) {
	t.Helper()
	c.Exec("postgres", "CREATE DATABASE "+central)
	url, err := pgurl.Parse(urlOf(c.Host()))
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Migrate(t.Context(), database.Config{URL: url, Hasher: apikey.NewHasher(authz.Secret{})}); err != nil {
		t.Fatal(err)
	}
}

// urlOf is the URL of the database on these hosts.
func urlOf(hosts string) string { return "postgres://keyward@" + hosts + "/" + central }

// newFleet starts the Keywards, with the database that the hosts have.
func newFleet(t *testing.T, hosts string) *fleet {
	t.Helper()
	f := &fleet{t: t, url: urlOf(hosts)}
	f.console = newNode(t, "console", f.url, true)
	f.console.run("user", "set", "root", "--scope", "keyward:admin")
	f.admin = f.console.run("key", "create", "--name", "root", "--user", "root", "--scope", "keyward:admin")
	f.console.start()
	for _, name := range []string{"one", "two"} {
		n := newNode(t, name, f.url, false)
		n.start()
		f.replicas = append(f.replicas, n)
	}
	return f
}

const settings = `listen: {grpc: %q, http: "", admin: %q, console: %q}
keys: {file: keys.jsonl}
users: {file: users.jsonl}
clients: {file: clients.jsonl}
revocations: {file: revocations.jsonl}
store: {url: %q}
log: {decisions: none}
`

func newNode(t *testing.T, name, url string, console bool) *node {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, name: name, dir: t.TempDir(), ports: ports}
	address := ""
	if console {
		address = stack.Address(ports.Console)
	}
	text := fmt.Sprintf(settings, stack.Address(ports.GRPC), stack.Address(ports.Admin), address, url)
	if err := os.WriteFile(filepath.Join(n.dir, "keyward.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) start() {
	n.t.Helper()
	var err error
	n.process, err = stack.StartKeyward(n.t.Context(), n.name, stack.Config{Dir: n.dir, Keyward: keyward, KeywardConfig: "keyward.yaml", Ports: n.ports})
	if n.process != nil {
		n.t.Cleanup(func() {
			n.process.Stop()
			if n.t.Failed() {
				log := n.process.Log()
				n.t.Logf("the end of the log of %s:\n%s", n.name, log[max(0, len(log)-5000):])
			}
		})
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// run runs a command with the configuration, and returns its standard output.
func (n *node) run(args ...string) string {
	n.t.Helper()
	cmd := exec.Command(keyward, append(args, "--config", "keyward.yaml")...)
	cmd.Dir = n.dir
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("keyward %q: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// metric returns the value of a series of the node; false if it has none.
func (n *node) metric(series string) (float64, bool) {
	response, err := http.Get("http://" + stack.Address(n.ports.Admin) + "/metrics")
	if err != nil {
		return 0, false
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), series+" "); found {
			value, err := strconv.ParseFloat(text, 64)
			return value, err == nil
		}
	}
	return 0, false
}

const (
	storeUp        = "keyward_store_up"
	historyResyncs = `keyward_store_resyncs_total{reason="history"}`
)

// pollEvery is rare enough that looking does not disturb the checks.
const pollEvery = 20 * time.Millisecond

// awaitUp waits until keyward_store_up of all has the value, and returns how long that took.
func (f *fleet) awaitUp(want float64, limit time.Duration) time.Duration {
	f.t.Helper()
	began := time.Now()
	for _, n := range append(f.replicas, f.console) {
		eventually.SucceedsWithin(f.t, limit, func() error {
			time.Sleep(pollEvery)
			if got, ok := n.metric(storeUp); !ok || got != want {
				return fmt.Errorf("%s: %s is %v, want %v", n.name, storeUp, got, want)
			}
			return nil
		})
	}
	return time.Since(began)
}

// resyncs returns how often the replicas began again since the history was another.
func (f *fleet) resyncs() (all []float64) {
	for _, n := range f.replicas {
		count, _ := n.metric(historyResyncs)
		all = append(all, count)
	}
	return all
}
