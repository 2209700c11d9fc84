package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// committed is the time of the test's commit, and therefore of everything in
// its image.
var committed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// built is the image of a copy of this tree, built once, by the program that
// make runs.
var built struct {
	tool, tree, out string
	path            layout.Path
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "keyward-image-test-")
	if err == nil {
		err = buildOnce(dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func buildOnce(dir string) error {
	built.tool, built.tree, built.out = filepath.Join(dir, "image"), filepath.Join(dir, "a"), filepath.Join(dir, "out")
	if err := execute("", nil, "go", "build", "-o", built.tool, "."); err != nil {
		return err
	}
	if err := commitCopy("../..", built.tree); err != nil {
		return err
	}
	if err := runTool(built.tree, built.out, "022"); err != nil {
		return err
	}
	path, err := layout.FromPath(filepath.Join(built.out, "oci"))
	built.path = path
	return err
}

func runTool(tree, out, umask string, env ...string) error {
	return execute("", env, "sh", "-c", `umask "$0" && exec "$@"`, umask,
		built.tool, "-source", tree, "-version", "v1.2.3-test", "-url", "https://example.com/keyward", "-out", out)
}

// commitCopy makes a repository with one commit of a tree's files, committed
// there or not.
func commitCopy(from, to string) error {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = from
	names, err := list.Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for _, name := range strings.Split(strings.Trim(string(names), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue // removed, but not yet committed
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			return err
		}
	}
	when := committed.Format(time.RFC3339)
	env := []string{"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=" + when,
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE=" + when}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "commit.gpgsign=false", "commit", "-q", "-m", "a copy"}} {
		if err := execute(to, env, "git", args...); err != nil {
			return err
		}
	}
	return nil
}

func execute(dir string, env []string, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Dir, command.Env = dir, append(os.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// index returns the image, which is the only entry of index.json.
func index(t *testing.T, path layout.Path) (v1.Descriptor, v1.ImageIndex) {
	t.Helper()
	top, err := path.ImageIndex()
	fatal(t, err)
	entries, err := top.IndexManifest()
	fatal(t, err)
	if len(entries.Manifests) != 1 {
		t.Fatalf("%d entries in index.json, want 1, so that crane and skopeo need no selection", len(entries.Manifests))
	}
	image, err := top.ImageIndex(entries.Manifests[0].Digest)
	fatal(t, err)
	return entries.Manifests[0], image
}

func image(t *testing.T, arch string) v1.Image {
	t.Helper()
	_, all := index(t, built.path)
	manifest, err := all.IndexManifest()
	fatal(t, err)
	for _, entry := range manifest.Manifests {
		if entry.Platform.OS == "linux" && entry.Platform.Architecture == arch {
			one, err := all.Image(entry.Digest)
			fatal(t, err)
			return one
		}
	}
	t.Fatalf("no image for linux/%s", arch)
	return nil
}

// TestReproducible builds in another directory, with another umask and time
// zone, and with settings of the compiler that would change the program if they
// had an effect.
func TestReproducible(t *testing.T) {
	other := filepath.Join(t.TempDir(), "another", "place")
	fatal(t, execute("", nil, "git", "clone", "-q", built.tree, other))
	out := filepath.Join(t.TempDir(), "out")
	fatal(t, runTool(other, out, "077", "TZ=Pacific/Chatham", "GOFLAGS=-tags=other", "GOAMD64=v3", "GOEXPERIMENT=nogreenteagc", "CGO_ENABLED=1"))
	for _, name := range []string{"keyward.tar", "keyward-linux-amd64.spdx.json", "keyward-linux-arm64.spdx.json", "oci/index.json"} {
		one, err := os.ReadFile(filepath.Join(built.out, name))
		fatal(t, err)
		two, err := os.ReadFile(filepath.Join(out, name))
		fatal(t, err)
		if !bytes.Equal(one, two) {
			t.Errorf("%s differs when it is built elsewhere", name)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		options options
		epoch   string
		want    string
	}{
		"an invalid epoch":               {options{Name: "keyward", Version: "v1"}, "yesterday", "SOURCE_DATE_EPOCH"},
		"a version that is not a tag":    {options{Name: "keyward", Version: "v1+meta"}, "", "invalid reference format"},
		"no version":                     {options{Name: "keyward"}, "", "invalid reference format"},
		"a tree without version control": {options{Name: "keyward", Version: "v1", Source: unversioned(t), Out: t.TempDir()}, "", "not under version control"},
	} {
		if err := run(c.options, c.epoch); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

func unversioned(t *testing.T) string {
	dir := t.TempDir()
	fatal(t, os.MkdirAll(filepath.Join(dir, "cmd/keyward"), 0o755))
	fatal(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module keyward\n\ngo 1.26.0\n"), 0o644))
	fatal(t, os.WriteFile(filepath.Join(dir, "cmd/keyward/main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644))
	return dir
}

// TestEpoch: SOURCE_DATE_EPOCH replaces the commit's time, also in the files.
func TestEpoch(t *testing.T) {
	when := time.Unix(1700000000, 0)
	files := []file{{name: "a", content: []byte("a"), mode: 0o444}}
	one, err := layer(files, when)
	fatal(t, err)
	two, err := layer(files, when.Add(time.Second))
	fatal(t, err)
	if must(one.DiffID())(t) == must(two.DiffID())(t) {
		t.Error("the files do not have the time of SOURCE_DATE_EPOCH")
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		fatal(t, err)
		return value
	}
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, open func() (io.ReadCloser, error)) []byte {
	t.Helper()
	r, err := open()
	fatal(t, err)
	defer r.Close()
	content, err := io.ReadAll(r)
	fatal(t, err)
	return content
}
