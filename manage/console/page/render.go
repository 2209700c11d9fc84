package page

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"

	"keyward/manage/console/words"
	"keyward/store/pacer"
)

//go:embed templates
var shared embed.FS

// templatesIn are those of the pages that this package has itself.
func templatesIn(directory string) fs.FS {
	sub, err := fs.Sub(shared, "templates/"+directory)
	if err != nil {
		panic(err)
	}
	return sub
}

// Templates are the parsed templates of pages, by the name of their file.
type Templates map[string]*template.Template

// Parse parses the templates of an area: each file of it defines "main", and may use
// what the files of this package define. A template that cannot be parsed is an error of
// the program.
func (s *Site) Parse(files fs.FS) Templates {
	base := template.Must(template.New("layout.html").Funcs(s.funcs()).ParseFS(shared, "templates/*.html"))
	names, err := fs.Glob(files, "*.html")
	if err != nil || len(names) == 0 {
		panic(fmt.Sprintf("console: no templates: %v", err))
	}
	parsed := Templates{}
	for _, name := range names {
		parsed[name] = template.Must(template.Must(base.Clone()).ParseFS(files, name))
	}
	return parsed
}

// Head is what a page says beside its content.
type Head struct {
	Title  string
	Crumbs []Crumb
	Bare   bool // without the navigation
	Status int  // zero is 200
	// Onward is where the browser goes on to by itself; "" is nowhere. It follows a page
	// where a redirect would not do: after a form, the policy of forms holds for each of a
	// chain of them, and after a provider sent the browser, its cookie does not go along.
	Onward string
	// Error is set on a form that was not accepted.
	Error bool
	// Current is the entry of the navigation that the page belongs to; "" is the page
	// itself.
	Current string
}

// Crumb is a page above the page; the last one has no path.
type Crumb struct{ Path, Text string }

// View is what a template gets.
type View struct {
	Head
	Data  any
	Words *words.Words
	Site  string // the title of the API

	Provider string // the name of the OpenID provider by which people log in; "" is none

	User string
	Home string
	Nav  []NavSection
	Done string // what was done before; "" is nothing

	Style, Script, Icon string // paths of the static files
}

// Secure sets the header fields of every answer. A browser runs no script and applies no style
// but our files, which load from here alone, shows the page in no frame, and keeps nothing. It
// sends forms here alone, and to the sources onward: browsers apply the policy of forms to the
// redirects that follow a form, too.
func Secure(h http.Header, onward string) {
	forms := "'self'"
	if onward != "" {
		forms += " " + onward
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action "+forms+"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// Render answers with a page.
func (r *Request) Render(t Templates, name string, head Head, data any) error {
	found := t[name]
	if found == nil {
		return fmt.Errorf("console: there is no template %q", name)
	}
	v := r.view(head)
	v.Data = data
	var page bytes.Buffer
	if err := found.ExecuteTemplate(pacer.NewWriter(&page), "layout.html", v); err != nil {
		return fmt.Errorf("console: rendering %s: %w", name, err)
	}
	r.send("text/html; charset=utf-8", cmp.Or(head.Status, http.StatusOK), page.Bytes())
	return nil
}

// JSON answers a script of a page.
func (r *Request) JSON(data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	r.send("application/json", http.StatusOK, text)
	return nil
}

func (r *Request) send(contentType string, status int, body []byte) {
	h := r.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	r.w.WriteHeader(status)
	if r.HTTP.Method != http.MethodHead {
		_, _ = r.w.Write(body) // or the client is gone
	}
}

func (r *Request) view(head Head) *View {
	v := &View{
		Head: head, Words: r.Words(), Site: r.Title(), User: r.Actor.User(), Home: "/", Provider: r.ProviderName(),
		Style: r.static.Style, Script: r.static.Script, Icon: r.static.Icon,
	}
	if head.Status == 0 && r.HTTP.Method == http.MethodGet {
		v.Done = notes[r.Query("done")]
	}
	if r.Actor.Session() == "" || r.Actor.MustChange() {
		v.Bare = true
		return v
	}
	v.Home = r.Home(r.Actor)
	current := head.Current
	if current == "" {
		current = r.HTTP.URL.Path
	}
	v.Nav = r.nav(current)
	return v
}
