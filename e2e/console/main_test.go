package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"keyward/e2e/stack"
	"keyward/e2e/testbin"
	"keyward/internal/browser"
)

// programs are what the tests run.
var programs struct {
	root, keyward, envoy string
}

// shared is what most tests use: a browser, in tabs with cookies of their own, and a site of
// the generic style, as users of their own. The first test that needs them starts them.
var shared struct {
	dir      string
	chromium *browser.Browser
	site     *site
	stop     func() // the site
}

// chromium returns the browser.
func chromium(t *testing.T) *browser.Browser {
	t.Helper()
	if shared.chromium == nil {
		b, err := browser.Launch(filepath.Join(shared.dir, "profile"))
		if err != nil {
			browser.Missing(t, err)
		}
		shared.chromium = b
	}
	return shared.chromium
}

// genericSite returns the site.
func genericSite(t *testing.T) *site {
	t.Helper()
	if shared.site == nil {
		shared.site, shared.stop = startSite(t, filepath.Join(shared.dir, "site"), setup{style: "generic", prefix: "kw_"})
	}
	return shared.site.of(t)
}

func stopShared() (err error) {
	if shared.stop != nil {
		shared.stop()
	}
	if shared.chromium != nil {
		err = shared.chromium.Close()
	}
	return err
}

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/console:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if programs.root, err = stack.Root(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "keyward-console-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	shared.dir = dir
	if programs.keyward, err = stack.Build(programs.root, dir); err != nil {
		return 0, err
	}
	if programs.envoy, err = testbin.Envoy().Path(context.Background(), filepath.Join(programs.root, ".cache"), os.Stderr); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stopShared()) }()
	return m.Run(), nil
}
