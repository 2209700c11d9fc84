package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// mountedWithin is the maximum time from the kubelet's swap of a mounted Secret
// or ConfigMap until the new file is in force.
const mountedWithin = 2 * time.Second

const mountedConfig = `
users: {file: SECRET/users.jsonl}
keys: {file: SECRET/keys.jsonl, pepper_file: SECRET/pepper}
jwt:
- {name: ours, issuer: us, algorithms: [HS256], hmac_secret_file: SECRET/our-secret}
- {name: theirs, issuer: them, algorithms: [HS256], hmac_secret_file: SECRET/their-secret}
revocations: {file: SECRET/revocations.jsonl}
routes:
- {name: reports, path: /reports, scopes: ["reports:read"]}
- {name: switched, path: /switched, auth: deny}
`

// mounted is a system whose Keyward has all its files from two volumes.
type mounted struct {
	*system
	secret, config *volume
	beside         map[string]string // the Secret's files other than the keys
	lines          map[string]string // of the key file, by the key's id
	header         string
}

// newMounted returns a system that is not started.
func newMounted(t *testing.T) *mounted {
	t.Helper()
	s := newSystem(t, options{example: "config/keyward.yaml"})
	m := &mounted{
		system: s, lines: map[string]string{},
		secret: newVolume(t, filepath.Join(s.dir, "secret")), config: newVolume(t, filepath.Join(s.dir, "config")),
		beside: map[string]string{"pepper": strings.Repeat("p", 48), "our-secret": strings.Repeat("o", 48), "their-secret": strings.Repeat("t", 48)},
	}
	m.config.publish(map[string]string{"keyward.yaml": strings.ReplaceAll(mountedConfig, "SECRET", m.secret.dir)})
	return m
}

// key makes a key, which is not published yet.
func (m *mounted) key(args ...string) (id, key string) {
	m.t.Helper()
	writeFile(m.t, m.dir, "pepper", m.beside["pepper"])
	args = append([]string{"key", "create", "--file", "made.jsonl", "--pepper-file", "pepper", "--json"}, args...)
	var made struct{ ID, Key string }
	if err := json.Unmarshal([]byte(m.keyward(args...)), &made); err != nil {
		m.t.Fatal(err)
	}
	lines := strings.SplitAfter(m.read("made.jsonl"), "\n")
	m.header, m.lines[made.ID] = lines[0], lines[len(lines)-2]
	return made.ID, made.Key
}

// read returns the content of a file of the system's directory.
func (m *mounted) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

// publish replaces the Secret with one that has the keys with these ids, and
// all its other files.
func (m *mounted) publish(ids ...string) (swapped time.Time) {
	m.t.Helper()
	files := maps.Clone(m.beside)
	files["keys.jsonl"] = m.header
	for _, id := range ids {
		files["keys.jsonl"] += m.lines[id]
	}
	return m.secret.publish(files)
}

// inForce waits until the credential gets the status. It returns how long after
// the swap the credential last got another one.
func (m *mounted) inForce(what string, swapped time.Time, target, credential string, status int) (after time.Duration) {
	m.t.Helper()
	for {
		asked := time.Since(swapped)
		a := m.get(target, bearer(credential))
		if a.status == status {
			return after
		}
		if after = asked; after > mountedWithin {
			m.t.Fatalf("%s: after %s still %d %s, want %d", what, after, a.status, a.reason(), status)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// alternation is what a file says about a credential in even and in odd
// versions.
type alternation struct {
	name, target, credential string
	status                   [2]int
	files                    [2]string // "" if the file consists of that
	file                     string    // of the Secret; "" for the configuration
}

// TestMountedFilesAreSwappedUnderLoad swaps a Secret twenty times, and a
// ConfigMap from time to time, as the kubelet does. The new content is in force
// within two seconds, and requests with other credentials get the same response
// throughout.
func TestMountedFilesAreSwappedUnderLoad(t *testing.T) {
	const swaps, seldom = 20, 5 // what is found by polling every half second changes with every fifth swap
	m := newMounted(t)
	goodID, good := m.key("--name", "good", "--scope", "reports:read")
	narrowID, narrow := m.key("--name", "narrow")
	dorasID, doras := m.key("--name", "dora's", "--user", "dora")
	_, never := m.key("--name", "never published")
	often, rare := m.turns(doras)
	ids, keys := make([]string, swaps+1), make([]string, swaps+1)
	for n := range ids {
		ids[n], keys[n] = m.key("--name", fmt.Sprint("of version ", n))
	}
	m.turnTo(often, 0)
	m.turnTo(rare, 0)
	m.publish(goodID, narrowID, dorasID, ids[0])
	m.start()
	rare[1].files[0] = m.read("config/keyward.yaml") // with the ports
	rare[1].files[1] = strings.Replace(rare[1].files[0], "auth: deny", "auth: none", 1)

	load := m.startSteadyLoad([]probe{
		{"a valid key", good, 200, goodID},
		{"a key without the scope", narrow, 403, "insufficient_scope"},
		{"an unknown key", never, 401, "unknown_key"},
	})
	worst := map[string]time.Duration{}
	for n := 1; n <= swaps; n++ {
		turned := often
		m.turnTo(often, n)
		if n%seldom == 0 {
			m.turnTo(rare, n/seldom)
			turned = slices.Concat(often, rare)
		}
		swapped := m.publish(goodID, narrowID, dorasID, ids[n])
		worst["a key is new"] = max(worst["a key is new"], m.inForce("a new key", swapped, "/any", keys[n], 200))
		worst["a key is gone"] = max(worst["a key is gone"], m.inForce("a deleted key", swapped, "/any", keys[n-1], 401))
		for i, turn := range turned {
			version := n
			if i >= len(often) {
				version = n / seldom
			}
			worst[turn.name] = max(worst[turn.name], m.inForce(turn.name, swapped, turn.target, turn.credential, turn.status[version%2]))
		}
	}
	slowest := load.stop()
	wrong, right := load.since()
	if t.Logf("%d right, the slowest after %s; in force after %v", right, slowest, worst); len(wrong) > 0 || right < 100 {
		t.Errorf("%d right, %s", right, strings.Join(wrong, ", "))
	}
}

// turns returns what changes with each version of the Secret, and what changes
// seldom.
func (m *mounted) turns(doras string) (often, rare []alternation) {
	m.t.Helper()
	m.run("", "user", "set", "dora", "--file", "even-users.jsonl", "--enabled")
	m.run("", "user", "set", "dora", "--file", "odd-users.jsonl", "--disabled")
	m.run("", "token", "revoke", "--jti", "another", "--file", "even-revocations.jsonl")
	m.run("", "token", "revoke", "--jti", "ended", "--file", "odd-revocations.jsonl")
	token := func(secret string, c jwt.MapClaims) string {
		return sign(m.t, jwt.SigningMethodHS256, []byte(m.beside[secret]), "", "JWT", claims(c))
	}
	often = []alternation{
		{"a user is disabled", "/any", doras, [2]int{200, 401}, [2]string{m.read("even-users.jsonl"), m.read("odd-users.jsonl")}, "users.jsonl"},
		{"a token is revoked", "/any", token("our-secret", jwt.MapClaims{"iss": "us", "sub": "erin", "jti": "ended"}), [2]int{200, 401},
			[2]string{m.read("even-revocations.jsonl"), m.read("odd-revocations.jsonl")}, "revocations.jsonl"},
	}
	rare = []alternation{
		{"a changed shared secret", "/any", token("their-secret", jwt.MapClaims{"iss": "them", "sub": "frank"}), [2]int{200, 401},
			[2]string{m.beside["their-secret"], strings.Repeat("T", 48)}, "their-secret"},
		{"a changed configuration", "/switched", doras, [2]int{403, 200}, [2]string{}, ""},
	}
	return often, rare
}

// turnTo writes that version of the files: the configuration at once, the
// Secret's files with the next publish.
func (m *mounted) turnTo(turns []alternation, version int) {
	m.t.Helper()
	for _, turn := range turns {
		text := turn.files[version%2]
		switch {
		case turn.file != "":
			m.beside[turn.file] = text
		case text != "":
			m.config.publish(map[string]string{"keyward.yaml": text})
		}
	}
}

// TestInvalidMountedFiles: what was read last stays in force until the Secret
// is valid again, and that is counted. A new pepper takes effect at a restart.
func TestInvalidMountedFiles(t *testing.T) {
	m := newMounted(t)
	turns, _ := m.turns("")
	m.turnTo(turns, 0)
	id, key := m.key("--name", "before")
	m.publish(id)
	m.start()
	good := maps.Clone(m.beside)
	good["keys.jsonl"] = m.header + m.lines[id]

	m.beside["pepper"] = strings.Repeat("q", 48)
	if err := os.Remove(filepath.Join(m.dir, "made.jsonl")); err != nil {
		t.Fatal(err)
	}
	otherID, other := m.key("--name", "under another pepper", "--start-over")
	repeppered := maps.Clone(m.beside)
	repeppered["keys.jsonl"] = m.header + m.lines[otherID]
	for _, bad := range []struct {
		name string
		keys []string
	}{
		{"no key file", nil}, {"an empty one", []string{""}}, {"a key file without its header", []string{m.lines[id]}},
		{"a key file under another pepper", []string{repeppered["keys.jsonl"]}},
	} {
		files := maps.Clone(good)
		delete(files, "keys.jsonl")
		for _, text := range bad.keys {
			files["keys.jsonl"] = text
		}
		const errors = `keyward_key_file_reloads_total{result="error"}`
		before := m.metric(errors)
		m.secret.publish(files)
		m.until("counted: "+bad.name, func() (answer, bool) { return answer{}, m.metric(errors) > before })
		if a := m.get("/any", bearer(key)); a.status != 200 {
			t.Errorf("%s: %d %s", bad.name, a.status, a.reason())
		}
		m.secret.publish(good)
	}

	m.secret.publish(repeppered)
	m.Keyward.Kill()
	if err := m.StartKeyward(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.until("in force", func() (answer, bool) { a := m.get("/any", bearer(other)); return a, a.status == 200 })
	if a := m.get("/any", bearer(key)); a.reason() != "unknown_key" {
		t.Errorf("a key under the previous pepper: %d %s", a.status, a.reason())
	}
}
