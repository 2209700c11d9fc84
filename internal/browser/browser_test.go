package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const form = `<!doctype html><html lang="en"><head><title>A form</title><style>:root{color-scheme:light dark}</style></head><body><main><h1>A form</h1>
<form method="post"><label for="name">Name</label><input id="name" name="name"><label for="text">Text</label><textarea id="text" name="text"></textarea><button>Send it</button></form><p id="script">off</p>
<p id="image"><img src="/image" alt="none"></p>
<script>document.getElementById("script").textContent = "on " + matchMedia("(prefers-color-scheme: dark)").matches</script></main></body></html>`

const bad = `<!doctype html><html><head><title>Bad</title></head><body><img src="/image"><p style="color:#ccc;background:#fff">low</p></body></html>`

func serve(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'")
		switch {
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Sent</title><main><h1 id="got">%s</h1></main></html>`, r.FormValue("name"))
		case r.URL.Path == "/bad":
			_, _ = fmt.Fprint(w, bad)
		case r.URL.Path == "/onward":
			next := map[string]string{"2": "/onward?1", "1": "/end"}[r.URL.RawQuery]
			_, _ = fmt.Fprintf(w, `<!doctype html><html lang="en"><head><title>On</title><meta http-equiv="refresh" content="0; url=%s"></head><body><a href="/bad">Continue</a></body></html>`, next)
		case r.URL.Path == "/image":
			http.NotFound(w, r)
		default:
			_, _ = fmt.Fprint(w, form)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestTab: a page is used as a person does, with scripts and without.
func TestTab(t *testing.T) {
	url, b := serve(t), Start(t)
	for _, w := range []Window{{}, {NoScript: true, Width: 390}, {Dark: true, Private: true}} {
		tab := b.Tab(t, w)
		if status := tab.Open(url); status != http.StatusOK || tab.Title() != "A form" {
			t.Errorf("%d, %q", status, tab.Title())
		}
		want := "off"
		if !w.NoScript {
			want = fmt.Sprintf("on %v", w.Dark)
		}
		if got := tab.Text("#script"); got != want {
			t.Errorf("%+v: the script is %q, want %q", w, got, want)
		}
		loaded := tab.Requests()
		if len(loaded) < 2 || loaded[0].URL != url+"/" || loaded[0].Bytes < 100 || loaded[1].Status != http.StatusNotFound {
			t.Errorf("%+v", loaded)
		}
		tab.WantAccessible("the form")
		if found := tab.Problems(); len(found) != 1 || !strings.Contains(found[0], url+"/image") {
			t.Errorf("the browser reports %q, not the image alone", found)
		}
		tab.Fill("#name", "another name")
		tab.Fill("#name", `Größe "2"`)
		for _, text := range []string{"one", "two\nlines"} { // of a textarea without text, and with one
			if tab.Fill("#text", text); tab.Value("#text") != text {
				t.Errorf("the textarea has %q", tab.Value("#text"))
			}
		}
		if status := tab.FollowText("Send it"); status != http.StatusAccepted || tab.Text("#got") != `Größe "2"` {
			t.Errorf("%d, %q", status, tab.Source())
		}
		tab.Back()
		tab.TabTo("name", 3)
		tab.Press("by keyboard")
		tab.TabTo("Send it", 2)
		if status := tab.PressToFollow("\r"); status != http.StatusAccepted || !strings.Contains(tab.Text("#got"), "by keyboard") {
			t.Errorf("%d, %q", status, tab.Source())
		}
		if png := tab.Screenshot(); len(png) < 500 || string(png[1:4]) != "PNG" {
			t.Errorf("a screenshot of %d bytes", len(png))
		}
		if !tab.Has("h1") || tab.Has("h2") {
			t.Error("elements are not found, or those that are not there")
		}
	}
}

// TestAxe: what is wrong with a page is reported.
func TestAxe(t *testing.T) {
	tab := Start(t).Tab(t, Window{})
	tab.Open(serve(t) + "/bad")
	found := map[string]bool{}
	for _, v := range tab.Axe() {
		found[v.ID] = true
	}
	for _, id := range []string{"image-alt", "html-has-lang", "color-contrast"} {
		if !found[id] {
			t.Errorf("%s is not reported: %v", id, found)
		}
	}
}

// TestArrive: pages that lead to another by themselves are followed to the end.
func TestArrive(t *testing.T) {
	url := serve(t)
	for _, w := range []Window{{}, {NoScript: true}} {
		tab := Start(t).Tab(t, w)
		tab.Open(url + "/onward?2")
		tab.Arrive(url+"/end", "#name")
		if got := tab.URL(); got != url+"/end" {
			t.Error(got)
		}
	}
}
