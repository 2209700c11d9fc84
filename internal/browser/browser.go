// Package browser drives a real Chromium in tests: pages are opened, filled in and
// clicked as a person does, with scripts or without, and looked at by axe-core. Programs
// do not use it.
package browser

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds what a page may take: a navigation, or until an element is there.
const patience = 20 * time.Second

var errNotInstalled = errors.New("no Chromium is installed (Debian, Ubuntu: apt-get install chromium)")

// Browser is a running Chromium with a new profile.
type Browser struct {
	ctx         context.Context
	cancel, end context.CancelFunc
	profile     string
}

// Start starts a Chromium that ends with the test. If none is installed, the test is
// skipped, unless all tests must run.
func Start(t testing.TB) *Browser {
	t.Helper()
	b, err := Launch(t.TempDir())
	if err != nil {
		Missing(t, err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// Missing ends a test that has no Chromium: it is skipped if none is installed, and fails
// if all tests must run or if the Chromium did not start.
func Missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// Launch starts a Chromium that tests share, with its profile in the directory. The caller
// closes it.
func Launch(profile string) (*Browser, error) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, errNotInstalled
	}
	// The sandbox refuses to run as root, and pages of these tests are Keyward's own.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(profile))
	b := &Browser{profile: profile}
	var allocator context.Context
	allocator, b.end = chromedp.NewExecAllocator(context.Background(), options...)
	b.ctx, b.cancel = chromedp.NewContext(allocator)
	if err := chromedp.Do(b.ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close ends the Chromium and waits for it. It may be called again.
func (b *Browser) Close() error {
	if b.ctx.Err() != nil {
		return nil
	}
	err := chromedp.Cancel(b.ctx)
	b.cancel()
	b.end()
	return err
}

// Profile is the directory with all that the Chromium has kept.
func (b *Browser) Profile() string { return b.profile }

// Window is how a tab shows pages. Its zero value is a wide one with scripts and light
// colours.
type Window struct {
	Width    int // in CSS pixels; zero: 1280
	Dark     bool
	NoScript bool
	Private  bool // with cookies of its own
}

// Tab is a tab of a Browser. Its methods fail the test.
type Tab struct {
	t      testing.TB
	ctx    context.Context
	window Window

	mu       sync.Mutex
	requests map[network.RequestID]*Request
	order    []network.RequestID
	pages    map[string]bool // the addresses of pages, not of what they load
	problems []string
}

// Request is what a page has loaded since it was opened.
type Request struct {
	URL    string
	Method string
	Status int64
	Bytes  float64 // that were sent for the response, its header included
}

// Tab opens a tab, which is closed with the test.
func (b *Browser) Tab(t testing.TB, w Window) *Tab {
	t.Helper()
	var options []chromedp.ContextOption
	if w.Private {
		options = append(options, chromedp.WithNewBrowserContext())
	}
	tab := &Tab{t: t, window: w, requests: map[network.RequestID]*Request{}, pages: map[string]bool{}}
	options = append(options, chromedp.WithListener(tab.observe))
	var cancel context.CancelFunc
	tab.ctx, cancel = chromedp.NewContext(b.ctx, options...)
	t.Cleanup(cancel)
	// The first action attaches the tab, and a context that ends would close it.
	if err := chromedp.Do(tab.ctx); err != nil {
		t.Fatal(err)
	}
	tab.Do(command(network.Enable, network.EnableParams{}), command(log.Enable, cdp.Empty{}), disableScripts(w.NoScript))
	tab.Resize(w.Width, w.Dark)
	return tab
}

// Resize shows the page at another width, zero for the usual one, and in the colours.
func (tab *Tab) Resize(width int, dark bool) {
	tab.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	if width == 0 {
		width = 1280
	}
	tab.Do(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(width), Height: 900, DeviceScaleFactor: 1, Mobile: width < 600}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}}),
	)
}

func disableScripts(disabled bool) chromedp.Action[chromedp.Void] {
	return command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: disabled})
}

// call is an action that sends a command of the protocol, and returns what it returns.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[R] {
	return func(ctx context.Context, to *chromedp.Target) (R, error) { return cdp.Call(ctx, to, c, params) }
}

// command is call of a command that returns nothing.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, to *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, to, c, params)
		return chromedp.Void{}, err
	}
}

// observe records requests, and what should not be: what the browser reports as an error,
// as it does of content that the policy forbids, and dialogs.
func (tab *Tab) observe(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if tab.requests[e.RequestID] == nil {
			tab.order = append(tab.order, e.RequestID)
		}
		tab.requests[e.RequestID] = &Request{URL: e.Request.URL, Method: e.Request.Method}
		if e.Type == network.ResourceTypeDocument {
			tab.pages[e.Request.URL] = true
		}
	case *network.EventResponseReceived:
		if r := tab.requests[e.RequestID]; r != nil {
			r.Status = e.Response.Status
		}
	case *log.EventEntryAdded:
		// The status of a page is for the test to judge, that of what it loads is not.
		if e.Entry.Level == log.EntryLevelError && !(e.Entry.Source == log.EntrySourceNetwork && tab.pages[e.Entry.URL]) {
			tab.problems = append(tab.problems, strings.TrimSpace(e.Entry.Text+" "+e.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		tab.problems = append(tab.problems, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		tab.problems = append(tab.problems, "a dialog: "+e.Message)
	case *network.EventLoadingFinished:
		if r := tab.requests[e.RequestID]; r != nil {
			r.Bytes = e.EncodedDataLength
		}
	}
}

// Requests returns what was loaded since the last call of Open.
func (tab *Tab) Requests() []Request {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	var all []Request
	for _, id := range tab.order {
		all = append(all, *tab.requests[id])
	}
	return all
}

// Problems returns what the browser reported since the last call, and each dialog.
func (tab *Tab) Problems() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	found := tab.problems
	tab.problems = nil
	return found
}

func (tab *Tab) forget() {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.requests, tab.order = map[network.RequestID]*Request{}, nil
}

// Do executes actions.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	run(tab, chromedp.Steps(actions...))
}

// run executes an action and returns its value.
func run[T any](tab *Tab, action chromedp.Action[T]) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		tab.t.Fatalf("%v, at %s", err, tab.where())
	}
	return value
}

// navigate executes an action that leads to another page, and returns the status of its
// response.
func (tab *Tab) navigate(action chromedp.Action[chromedp.Void]) int64 {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, action)
	if err != nil {
		tab.t.Fatalf("%v, at %s", err, tab.where())
	}
	if response == nil { // it was kept by the browser
		return 0
	}
	return response.Status
}

// where returns the address that the tab shows, for messages.
func (tab *Tab) where() string {
	ctx, cancel := context.WithTimeout(tab.ctx, time.Second)
	defer cancel()
	url, _ := chromedp.Run(ctx, chromedp.Location()) // "" says as much
	return url
}
