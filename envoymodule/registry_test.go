package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/extauthz"
)

// writeConfig writes a keyward.yaml with a route, and returns its path.
func writeConfig(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "keys.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "keyward.yaml")
	text := "keys: {file: " + filepath.Join(dir, "keys.jsonl") + "}\nroutes: [{path: /public, auth: none}]\nlog: {decisions: none, level: error}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestInstancesAreShared: filters with the same file use one instance, which ends
// with the last of them.
func TestInstancesAreShared(t *testing.T) {
	g := registry{start: start, byFile: map[string]*instance{}}
	s := settings{file: writeConfig(t)}
	first, err := g.open(s)
	if err != nil {
		t.Fatal(err)
	}
	second, err := g.open(settings{file: s.file, deny: true})
	if err != nil || second != first {
		t.Fatalf("%p and %p: %v", first, second, err)
	}
	m, err := extauthz.NewModule(extauthz.ModuleConfig{Handler: first.server.Handler, DenyUndecided: true})
	if err != nil {
		t.Fatal(err)
	}
	g.close(first)
	r := m.Request()
	m.AddHeader(r, ":method", "GET")
	m.AddHeader(r, ":path", "/public")
	if answer := m.Check(r, nil); answer.Verdict != extauthz.VerdictAllow {
		t.Errorf("after the first filter ended: %+v", answer)
	}
	g.close(second)
	r = m.Request()
	m.AddHeader(r, ":method", "GET")
	m.AddHeader(r, ":path", "/public")
	if answer := m.Check(r, nil); answer.Verdict != extauthz.VerdictUndecided {
		t.Errorf("without an engine that follows its files: %+v", answer)
	}
	m.Close()
	select {
	case <-first.stopped:
	default:
		t.Error("the instance runs without filters")
	}
	if len(g.byFile) != 0 {
		t.Errorf("%v", g.byFile)
	}
	third, err := g.open(settings{file: s.file})
	if err != nil || third == first {
		t.Fatalf("%v", err)
	}
	g.close(third)
}

func TestBadConfigurationIsRefused(t *testing.T) {
	g := registry{start: start, byFile: map[string]*instance{}}
	if _, err := g.open(settings{file: filepath.Join(t.TempDir(), "none.yaml")}); err == nil {
		t.Error("a missing file is taken")
	}
	file := writeConfig(t)
	if err := os.WriteFile(file, []byte("rutes: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.open(settings{file: file}); err == nil || !strings.Contains(err.Error(), "rutes") || len(g.byFile) != 0 {
		t.Errorf("%v", err)
	}
}
