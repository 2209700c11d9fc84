package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// TestBootstrap: the command prints links while the server runs. The last one makes the
// first administrator, who is logged in by it, and no other one is valid then.
func TestBootstrap(t *testing.T) {
	t.Parallel()
	m := newManaged(t, "log: {level: error, decisions: none}")
	m.run("user", "set", "program")
	m.run("key", "create", "--name", "program", "--user", "program")
	m.start()
	t.Cleanup(func() { m.process.Stop() })
	first := m.run("admin", "bootstrap")
	second := m.run("admin", "bootstrap")
	const taken = `{"name": "ada", "password": "correct horse"}`
	m.wantStatus("an earlier link", m.post(first, taken), 404)
	m.wantStatus("a link that only resembles it", m.post(strings.Replace(second, "/setup/", "/password/", 1), taken), 404)
	made := m.post(second, taken)
	m.wantStatus("the last link", made, 201)
	m.wantStatus("the same again", m.post(second, taken), 404)
	me, err := http.NewRequest(http.MethodGet, "http://"+m.address+"/api/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range made.Cookies() {
		me.AddCookie(cookie)
	}
	answer, err := http.DefaultClient.Do(me)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var who struct {
		User  string   `json:"user"`
		Roles []string `json:"roles"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&who); err != nil || who.User != "ada" || len(who.Roles) == 0 {
		t.Errorf("%d %+v %v", answer.StatusCode, who, err)
	}
	command := exec.Command(programs.keyward, "admin", "bootstrap", "--config", "keyward.yaml")
	command.Dir = m.dir
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "an administrator exists") {
		t.Errorf("with an administrator: %v %s", err, out)
	}
}

// post sends JSON to a page of the console as its own page does.
func (m *managed) post(url, body string) *http.Response {
	m.t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer
}

func (m *managed) wantStatus(what string, got *http.Response, want int) {
	m.t.Helper()
	if got.StatusCode != want {
		m.t.Errorf("%s: %d, want %d", what, got.StatusCode, want)
	}
}
