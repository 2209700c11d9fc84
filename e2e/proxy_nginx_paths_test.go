package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz/urlpath"
	"keyward/e2e/stack"
)

// nginxLocations are the paths that keys are restricted to below. Each is also
// a location of nginx.
var nginxLocations = []string{"/a", "/b", "/a/b"}

// withLocations gives nginx a location for each path, which identifies itself
// to the upstream.
func withLocations(text string) string {
	locations := "proxy_set_header X-Location $here;\n"
	for _, place := range nginxLocations {
		locations += fmt.Sprintf("location %s/ { set $here %s; proxy_pass http://api$target; }\n", place, place)
	}
	// Not a set in the server block, which the request to Keyward would run
	// once more.
	return strings.Replace(text, "        location / {\n", locations+"        location / {\nset $here none;\n", 1)
}

// generated is a target, the key to use, and the expected status.
type generated struct {
	target string
	place  string // the path of the key
	status int
}

// TestNginxRoutesWhatWasJudged sends generated targets with keys for one path.
// A request that reaches the upstream must have the target that was sent, and
// come from nginx's location for a path within the key's.
func TestNginxRoutesWhatWasJudged(t *testing.T) {
	number := 100_000
	if testing.Short() {
		number = 10_000
	}
	s := newSystem(t, options{proxy: "nginx", config: "log: {decisions: none}\n", text: withLocations})
	keys := map[string]string{}
	for _, place := range nginxLocations {
		keys[place] = s.key("--name", place, "--path", place)
	}
	s.start()

	accepted, refused := generateTargets(t, number)
	if len(accepted) < number/5 || len(refused) < number/5 {
		t.Fatalf("%d accepted, %d refused: a poor mixture", len(accepted), len(refused))
	}
	const sample = 4000
	refused = refused[:min(sample, len(refused))]
	all := slices.Concat(accepted, refused)
	statuses := s.sendAll(all, keys, len(accepted))
	passed := s.judgeArrived(all)
	for i, g := range all {
		switch {
		case passed[i] != (statuses[i] == 200):
			t.Errorf("%q in %s: status %d, reached the upstream: %v", g.target, g.place, statuses[i], passed[i])
		case statuses[i] != g.status && !isNginxAnswer(g, statuses[i]):
			t.Errorf("%q in %s: %d, want %d", g.target, g.place, statuses[i], g.status)
		}
	}
	t.Logf("of %d targets %d are allowed; %d reached the upstream as they were sent, the rest are names of locations; of the others %d were sent too",
		number, len(accepted), s.arrived(), len(refused))
}

// nginxRefuses are the statuses of nginx's own refusals; 0 is a closed
// connection, and 414 is for a line longer than its buffer.
var nginxRefuses = []int{0, 400, 405, 414}

// isNginxAnswer reports whether nginx may answer without asking Keyward: when
// it refuses a target itself, and when it takes a target for a location's name
// without the slash.
func isNginxAnswer(g generated, status int) bool {
	path, _, _ := strings.Cut(g.target, "?")
	return g.status == 400 && slices.Contains(nginxRefuses, status) ||
		status == 301 && (g.status == 400 || slices.Contains(nginxLocations, path))
}

// generateTargets makes targets and computes the expected verdict by a separate
// implementation.
func generateTargets(t *testing.T, number int) (accepted, refused []generated) {
	t.Helper()
	random := rand.New(rand.NewPCG(5, 3))
	patterns := map[string]urlpath.Pattern{}
	for _, place := range nginxLocations {
		pattern, err := urlpath.ParsePattern(place, urlpath.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		patterns[place] = pattern
	}
	for range number {
		g := generated{place: nginxLocations[random.IntN(len(nginxLocations))], status: 403}
		g.target = generateTarget(random, g.place)
		path, err := urlpath.Parse(g.target, urlpath.Rules{})
		if err != nil {
			g.status = 400
		} else if pattern := patterns[g.place]; pattern.Matches(path) && pattern.Matches(path.Decoded()) {
			g.status = 200
			accepted = append(accepted, g)
			continue
		}
		refused = append(refused, g)
	}
	return accepted, refused
}

// Parts of targets: those that all servers read alike, and those that some
// server reads differently.
var (
	plainPieces = []string{
		"/a", "/b", "/a", "/b", "a", "b", "/", "x", "-", "_", "~", ".b", "a.", "=", ":", "@", "!", "$", "&", "'", "(", ")", ",", "+", "*",
		"%20", "%7E", "%7e", "%C3%A9", "%c3%a9", "%E2%82%AC", "%F0%9F%94%91", "%22", "%3C", "%40", "%2B", "%5B", "%7C",
	}
	trickyPieces = []string{
		"//", "/.", "/..", "/./", "/../", "/..a", "...", "/.../", "%2f", "%2F", "%5c", "\\", "%2e", "%2E", "/%2e%2e/", "/.%2e/", "/..%2f",
		";", ";x=1", "/..;/", "%3b", "%3B", "%25", "%252e", "%252f", "%61", "%62", "%41", "%", "%2", "%zz", "%u002e", "%00", "%0a", "%0d%0a", "%7f",
		"%3f", "%23", "#", "é", "\xc0\xaf", "%c0%af", "%c0%ae", "%ef%bc%8f", "%E2%88%95", "%ff", "．", "|", "^", "`", "{", "[", "\"", "<",
	}
	queries = []string{"?", "?x=1", "?/../b", "?%2e%2e", "?a=%2Fb", "?;", "??", "?x=é", "?x=#"}
)

// generateTarget makes a target that mostly begins with the path.
func generateTarget(random *rand.Rand, place string) string {
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	var target strings.Builder
	if random.IntN(4) == 0 {
		place = pick(nginxLocations)
	}
	target.WriteString(place)
	if random.IntN(4) > 0 {
		target.WriteByte('/')
	}
	tricky := random.IntN(2) == 0
	for range random.IntN(8) {
		if tricky && random.IntN(3) == 0 {
			target.WriteString(pick(trickyPieces))
		} else {
			target.WriteString(pick(plainPieces))
		}
	}
	if random.IntN(8) == 0 {
		target.WriteString(pick(queries))
	}
	return target.String()
}

// sendAll sends the targets, several at a time, and returns the statuses of the
// responses. The first ones share connections, one after the other. The rest,
// which nginx may answer by closing the connection, have one connection each.
func (s *system) sendAll(all []generated, keys map[string]string, keepAlive int) []int {
	s.t.Helper()
	const workers, batch = 4, 50
	statuses := make([]int, len(all))
	message := func(i int) string {
		return "GET " + all[i].target + " HTTP/1.1\r\nHost: api.example.com\r\nX-Number: " + strconv.Itoa(i) + "\r\n" + bearer(keys[all[i].place]) + "\r\n"
	}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for from := worker * batch; from < keepAlive; from += workers * batch {
				if err := s.sendBatch(statuses, from, min(from+batch, keepAlive), message); err != nil {
					s.t.Errorf("from %d: %v", from, err)
				}
			}
			for i := keepAlive + worker; i < len(all); i += workers {
				a, err := s.send("GET", message(i)+"Connection: close\r\n\r\n")
				if err != nil {
					s.t.Errorf("%q: %v", all[i].target, err)
				}
				statuses[i] = a.status
			}
		})
	}
	wg.Wait()
	return statuses
}

// sendBatch sends the messages over one connection, all of them before it reads
// the first response.
func (s *system) sendBatch(statuses []int, from, to int, message func(int) string) error {
	conn, err := net.Dial("tcp", stack.Address(s.Ports().Envoy))
	if err != nil {
		return err
	}
	defer conn.Close()
	var raw strings.Builder
	for i := from; i < to; i++ {
		raw.WriteString(message(i) + "\r\n")
	}
	if err := errors.Join(conn.SetDeadline(time.Now().Add(20*time.Second)), write(conn, raw.String())); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for i := from; i < to; i++ {
		response, err := http.ReadResponse(answers, &http.Request{Method: "GET"})
		if err != nil {
			return fmt.Errorf("the response to %d: %w", i, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
		statuses[i] = response.StatusCode
	}
	return nil
}

// judgeArrived compares the requests that reached the upstream with those that
// were sent, and returns which ones arrived.
func (s *system) judgeArrived(all []generated) []bool {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	passed := make([]bool, len(all))
	for _, r := range s.received {
		i, err := strconv.Atoi(strings.Join(r.Headers["x-number"], ""))
		if err != nil || i < 0 || i >= len(all) || passed[i] {
			s.t.Fatalf("the upstream got %v, which was not sent or came before", r)
		}
		passed[i] = true
		here := strings.Join(r.Headers["x-location"], "")
		if g := all[i]; r.Path != g.target || here != g.place && !strings.HasPrefix(here, g.place+"/") {
			s.t.Errorf("%q in %s reached the upstream as %q from location %q", g.target, g.place, r.Path, here)
		}
	}
	return passed
}
