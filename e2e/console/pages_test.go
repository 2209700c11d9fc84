package console

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyward/internal/browser"
	"keyward/internal/prove"
	pages "keyward/manage/console"
	"keyward/manage/console/page"
)

// shown is a page as a tab gets to it.
type shown struct {
	name   string
	routes []string         // of manage/console, whose page this is
	path   string           // "": reach leads to it
	reach  func(tab *tab)   // also after the path was opened
	public bool             // it is looked at without a session
	status map[int64]string // nil: 200
}

// maxWeight is what a page may weigh with its style and its script, in bytes.
const maxWeight = 60_000

// all are all pages, for an administrator who is a member of a project.
func (r *records) all() []shown {
	get := func(path string, routes ...string) shown {
		return shown{name: path, path: path, routes: routes}
	}
	key := "/keys/" + r.key
	return []shown{
		{name: "/login", path: "/login", routes: []string{"/login"}, public: true},
		{name: "/password/CODE", path: r.link, routes: []string{"/password/{code}"}, public: true},
		{name: "a failed login", path: "/login", public: true, reach: func(tab *tab) {
			tab.Fill("#username", hostile)
			tab.Fill("#password", "wrong "+password)
			tab.FollowText("Sign in")
			tab.wants("Username or password incorrect.")
		}},
		get("/overview", "/overview", "/{$}"), get("/decisions", "/decisions"), get("/decisions?id=" + r.decision), get("/audit", "/audit"), get("/settings", "/settings"),
		{name: "an unknown decision", path: "/decisions?id=LMUJTC5LGUOI4YVXVRIEEUEPRX", status: map[int64]string{404: ""}},
		get("/keys", "/keys"), get("/keys?state=expired"), get("/keys?q=no-such-key"), get("/keys/new", "/keys/new"),
		{name: "an empty form", path: "/keys/new", reach: func(tab *tab) { tab.Follow(".submit .primary"); tab.wants("Enter") }},
		{name: "a new key", path: "/keys/new", reach: func(tab *tab) {
			tab.Fill("#name", hostile)
			tab.Click("#expires-none")
			tab.Follow(".submit .primary")
			tab.wants("Key created")
		}},
		get(key, "/keys/{id}"), get("/keys/" + r.rotating), get("/keys/" + r.paused), get("/keys/" + r.revoked), get(key+"/edit", "/keys/{id}/edit"),
		get(key+"/revoke", "/keys/{id}/revoke"), get(key+"/delete", "/keys/{id}/delete"), get(key+"/pause", "/keys/{id}/pause"),
		get("/keys/"+r.rotating+"/end-grace", "/keys/{id}/end-grace"), get("/keys/revoke?id="+r.key+"&id="+r.paused, "/keys/revoke"),
		get("/users", "/users"), get("/service-users", "/service-users"), get("/users/new", "/users/new"), get("/users/alice", "/users/{name}"), get("/users/gone"),
		get("/users/alice/edit", "/users/{name}/edit"), get("/users/alice/disable", "/users/{name}/disable"), get("/users/alice/delete", "/users/{name}/delete"),
		get("/users/alice/password", "/users/{name}/password"),
		get("/projects", "/projects"), get("/projects/new", "/projects/new"), get("/projects/web", "/projects/{name}"), get("/projects/web/edit", "/projects/{name}/edit"),
		get("/projects/web/delete", "/projects/{name}/delete"),
		{name: "the key menu", path: "/projects/web", reach: func(tab *tab) { tab.ClickText("Key menu") }},
		get("/clients", "/clients"), get("/clients/new", "/clients/new"), get("/clients/"+r.client, "/clients/{id}"), get("/clients/"+r.client+"/edit", "/clients/{id}/edit"),
		get("/clients/"+r.client+"/disable", "/clients/{id}/disable"), get("/clients/"+r.client+"/delete", "/clients/{id}/delete"),
		get("/revocations", "/revocations"), get("/revocations/new", "/revocations/new"),
		get("/me/keys", "/me/keys"), get("/me/keys/new", "/me/keys/new"), get("/me/keys/"+r.mine, "/me/keys/{id}"), get("/me/keys/"+r.mine+"/revoke", "/me/keys/{id}/revoke"),
		get("/me/keys/"+r.mine+"/delete", "/me/keys/{id}/delete"),
		get("/account", "/account"), get("/account/password", "/account/password"),
		{name: "no page", path: "/no-such-page", status: map[int64]string{404: ""}},
	}
}

// elsewhere are the routes whose pages states_test.go looks at: they need a server without an
// administrator, or a first login.
var elsewhere = []string{"/setup/{code}", "/welcome", callback, search}

// search answers a script of a form, as TestSearchWhileTyping sees.
const search = "/keys/users"

// callback is where an OpenID provider sends browsers to: tests of the server look at its page,
// which is that of the login.
const callback = "/login/callback"

// TestAllPagesAreShown: the table has each page of the console.
func TestAllPagesAreShown(t *testing.T) {
	var r records
	var have []string
	for _, p := range r.all() {
		have = append(have, p.routes...)
	}
	for _, route := range pages.New(page.Config{}).Routes() {
		path, isPage := strings.CutPrefix(route.Pattern, http.MethodGet+" ")
		if isPage && !slices.Contains(append(have, elsewhere...), path) {
			t.Errorf("%s is not among the pages that are looked at", path)
		}
	}
}

// windows are those in which a page is looked at.
var windows = prove.Size([]browser.Window{{Width: 1280}, {Width: 390, Dark: true}},
	[]browser.Window{{Width: 1280}, {Width: 1280, Dark: true}, {Width: 390}, {Width: 390, Dark: true}})

// narrowest is the width, in CSS pixels, that a page still fits.
const narrowest = 320

// TestPages looks at each page as axe-core does, and at its weight, where it loads from, what
// the browser reports, and whether it fits a narrow screen.
func TestPages(t *testing.T) {
	s := newSite(t, setup{style: "generic", prefix: "kw_"})
	r := s.fill()
	outside, inside := s.tab(chromium(t), browser.Window{}), s.tab(chromium(t), browser.Window{})
	inside.signIn("root")
	for _, p := range r.all() {
		tab := inside
		if p.public {
			tab = outside
		}
		tab.lookAt(p)
	}
}

// lookAt opens the page and looks at it in each window.
func (tab *tab) lookAt(p shown) {
	t := tab.site.t
	t.Helper()
	tab.Resize(0, false)
	if p.path != "" {
		status := tab.Open(tab.site.console + p.path)
		if _, wanted := p.status[status]; !wanted && status != 200 {
			t.Fatalf("%s: %d: %s", p.name, status, tab.Text("main"))
		}
	}
	if p.reach != nil {
		p.reach(tab)
	}
	if weight := tab.weight(p.name); weight > maxWeight {
		t.Errorf("%s weighs %.0f bytes, at most %d are wanted", p.name, weight, maxWeight)
	}
	for _, w := range windows {
		tab.Resize(w.Width, w.Dark)
		tab.WantAccessible(fmt.Sprintf("%s (%d, dark=%t)", p.name, w.Width, w.Dark))
		tab.screenshot(p.name, w)
	}
	tab.Resize(narrowest, false)
	if wide := browser.Evaluate[bool](tab.Tab, "document.documentElement.scrollWidth > innerWidth"); wide {
		t.Errorf("%s is wider than a screen of %d", p.name, narrowest)
	}
	if found := tab.Problems(); len(found) > 0 {
		t.Errorf("%s: the browser reports %q", p.name, found)
	}
}

// weight is how many bytes the page takes with its style and its script: the browser keeps
// these, so they count as in the first page. A request to another host fails the test.
func (tab *tab) weight(name string) float64 {
	tab.site.t.Helper()
	page := 0.0
	for _, r := range tab.Requests() {
		if strings.HasPrefix(r.URL, "data:") {
			continue // an icon of the browser's own: the policy allows pages none
		}
		if !strings.HasPrefix(r.URL, tab.site.console+"/") {
			tab.site.t.Errorf("%s loads %s", name, r.URL)
		}
		if !strings.HasPrefix(r.URL, tab.site.console+"/static/") {
			page = r.Bytes // the last page, if a form led to it
		}
	}
	return page + tab.site.staticBytes()
}

var staticFile = regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`)

// staticBytes is how many bytes the style and the script take.
func (s *site) staticBytes() (size float64) {
	s.t.Helper()
	login := s.fetch("/login")
	for _, found := range staticFile.FindAllStringSubmatch(login, -1) {
		size += float64(len(s.fetch(found[1])))
	}
	if size == 0 {
		s.t.Fatal("the page has no style")
	}
	return size
}

// screenshots is the environment variable that names the directory of pictures.
const screenshots = "KEYWARD_SCREENSHOTS"

// screenshot keeps a picture of the page, if the environment names a directory for that.
func (tab *tab) screenshot(name string, w browser.Window) {
	dir := os.Getenv(screenshots)
	if dir == "" {
		return
	}
	tab.site.t.Helper()
	colours := map[bool]string{true: "-dark"}[w.Dark]
	file := filepath.Join(dir, fmt.Sprintf("%s-%d%s.png", url.PathEscape(strings.Trim(name, "/")), w.Width, colours))
	if err := os.WriteFile(file, tab.Screenshot(), 0o600); err != nil {
		tab.site.t.Fatal(err)
	}
}
