package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/markdown"
)

// recipe runs a page of docs/recipes as its reader would, so that the page and
// its test cannot differ. The blocks of a page are:
//
//   - yaml that begins with `# keyward.yaml`: the configuration. There is one,
//     and `keyward config validate` must accept it without a warning.
//   - sh: commands in the order of the page. `NAME=$(keyward key create …)` keeps
//     what it prints. A curl line is a request, and the comment at its end says
//     what becomes of it: the status, then the reason of a denial or the headers
//     that the API gets, "-" for a header that it must not get. Path is the target
//     with the query: `# 401 unknown_key`, `# 200, Path: /x?a=1, X-Api-Key: -`.
//   - diff: changes to a shipped file, which `--- FILE` names. See diffs.
//
// Other blocks are not run. Variables that a page uses and does not set, such as
// the token of an issuer, come from its test. No secret of the page or the test
// may reach the API, except as the page says.
type recipe struct {
	*terminal
	sections []markdown.Section
	provider string // an Authorization of the proxy's own, for the API
	// local, if not nil, puts test servers in the place of real ones, in what
	// the page says that the API gets.
	local func(text string) string
	// refusesQuery: credentials.query is on, and this proxy cannot remove a
	// credential from the query.
	refusesQuery bool
}

// recipePage returns the file of a page, relative to the repository.
func recipePage(name string) string { return filepath.Join("docs", "recipes", name+".md") }

// newRecipe writes the page's configuration for a system with that proxy, which
// starts with the first request. change, if not nil, makes the page's
// configuration that of the test: it puts test servers in the place of real
// ones.
func newRecipe(t *testing.T, name, proxy string, change func(config string) string) *recipe {
	t.Helper()
	need(t, "curl")
	need(t, proxies[proxy].program)
	r := &recipe{sections: markdown.Read(t, filepath.Join(programs.root, recipePage(name)))}
	certs := t.TempDir()
	authority := newAuthority(t, certs, "edge")
	opts := options{example: "keyward.yaml", proxy: proxy}
	r.terminal = &terminal{hosts: []string{"api.example.com:443"}, authority: &authority, keys: map[string]string{}, variables: map[string]string{}}
	r.tlsPort = proxies[proxy].tls(t, &opts, authority.issue(t, certs, "api.example.com"))
	opts.diffs = diffs(t, r.blocks("diff"))
	r.system = newSystem(t, opts)
	config := r.config()
	r.refusesQuery = slices.Contains(cannotCutQuery, proxy) && strings.Contains(config, "\n  query: ")
	if change != nil {
		config = change(config)
	}
	writeFile(t, r.dir, opts.example, config)
	return r
}

// blocks returns the text of the page's blocks in a language, in order.
func (r *recipe) blocks(language string) (all []string) {
	for _, section := range r.sections {
		for _, block := range section.Blocks {
			if block.Info == language {
				all = append(all, block.Text)
			}
		}
	}
	return all
}

// config returns the configuration on the page.
func (r *recipe) config() string {
	var found []string
	for _, text := range r.blocks("yaml") {
		if strings.HasPrefix(text, "# keyward.yaml\n") {
			found = append(found, text)
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// run runs the commands of the page.
func (r *recipe) run() {
	r.t.Helper()
	requests := 0
	for _, section := range r.sections {
		for _, block := range section.Blocks {
			if block.Info == "sh" {
				requests += r.script(fmt.Sprintf("%s, line %d", section.Heading, block.Line), block.Text)
			}
		}
	}
	if requests < 3 {
		r.t.Errorf("the page has %d requests with an expected result", requests)
	}
}

// script runs commands that are written as those of a page, and returns how
// many were requests.
func (r *recipe) script(where, text string) (requests int) {
	r.t.Helper()
	for _, c := range scriptCommands(r.t, where, text) {
		command := strings.TrimSpace(c.text)
		switch {
		case command == "" || strings.HasPrefix(command, "#"):
		case strings.HasPrefix(command, "curl "):
			requests++
			r.request(where, command)
		default:
			r.change(r.t, &step{where: where, command: command})
		}
	}
	return requests
}

// start starts the system once the page's configuration is found to be good.
func (r *recipe) start() {
	r.t.Helper()
	var warnings strings.Builder
	validate := r.command("config", "validate", r.opts.example)
	validate.Stdout, validate.Stderr = &warnings, &warnings
	if err := validate.Run(); err != nil || strings.Contains(warnings.String(), "warning") {
		r.t.Fatalf("the page's configuration: %v: %s", err, warnings.String())
	}
	r.system.start()
	r.writeCurlrc(r.t)
}

// request runs a request and compares what becomes of it.
func (r *recipe) request(where, command string) {
	r.t.Helper()
	want, err := expectationOf(command)
	if err != nil {
		r.t.Errorf("%s: %s: %v", where, command, err)
		return
	}
	if r.refusesQuery && inQuery.MatchString(command) && want.reason != "route_denied" {
		want = expectation{status: "401", reason: "unsupported_credential"} // as docs/proxies.md says
	}
	if r.Stack == nil {
		r.start()
	}
	err = r.try(command, want)
	for err != nil && time.Since(r.changed) < inForce {
		time.Sleep(20 * time.Millisecond)
		err = r.try(command, want)
	}
	if err != nil {
		r.t.Errorf("%s: %s\n%v", where, command, err)
	}
}

// inQuery matches a request with a key or a token in its query, or an empty one.
var inQuery = regexp.MustCompile(`[?&][\w-]+=(\$[A-Z]|" )`)

// expectation is what becomes of a request.
type expectation struct {
	status, reason string
	upstream       []headerLine // of an allowed request
}

var expected = regexp.MustCompile(`\s# (\d{3})(?: (\w+))?((?:, [\w-]+: [^,]+)*)$`)

// expectationOf reads the comment at the end of a request.
func expectationOf(command string) (want expectation, err error) {
	found := expected.FindStringSubmatch(command)
	if found == nil {
		return want, fmt.Errorf("no comment says what becomes of it")
	}
	want.status, want.reason = found[1], found[2]
	for line := range strings.SplitSeq(strings.TrimPrefix(found[3], ", "), ", ") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			want.upstream = append(want.upstream, headerLine{name, value})
		}
	}
	if allowed := strings.HasPrefix(want.status, "2"); allowed == (want.reason != "") {
		return want, fmt.Errorf("a denial has a reason, and nothing else has one")
	}
	return want, nil
}

// try runs a request once.
func (r *recipe) try(command string, want expectation) error {
	before := r.arrived()
	head, body, err := r.ask(&step{command: command, status: want.status})
	if err != nil {
		return err
	}
	r.mu.Lock()
	arrived := slices.Clone(r.received[before:])
	r.mu.Unlock()
	reason := answer{header: head.header, body: body}.reason()
	if head.status != want.status || reason != want.reason {
		return fmt.Errorf("%s %s, want %s %s; printed: %s", head.status, reason, want.status, want.reason, body)
	}
	if want.reason != "" {
		if len(arrived) != 0 {
			return fmt.Errorf("%d requests reached the API", len(arrived))
		}
		return nil
	}
	if len(arrived) != 1 {
		return fmt.Errorf("%d requests reached the API, want one", len(arrived))
	}
	return r.compareReceived(arrived[0], want.upstream)
}

// compareReceived compares the headers that the API got. It gets no secret, and
// no Authorization unless the page says which.
func (r *recipe) compareReceived(got stack.Received, want []headerLine) error {
	if where := findText(got, r.secrets()...); where != "" {
		return fmt.Errorf("a credential reached the API in %s", where)
	}
	header := http.Header{"Path": {got.Path}}
	for name, values := range got.Headers {
		header[http.CanonicalHeaderKey(name)] = values
	}
	named := func(line headerLine) bool { return strings.EqualFold(line.name, "Authorization") }
	if !slices.ContainsFunc(want, named) && (r.provider == "" || header.Get("Authorization") != r.provider) {
		want = append(want, headerLine{"Authorization", "-"})
	}
	for i := range want {
		want[i].value = os.Expand(want[i].value, func(name string) string { return r.variables[name] })
		if r.local != nil {
			want[i].value = r.local(want[i].value)
		}
	}
	return r.compare("the API's request", header, want)
}

// TestRecipes: every page is in the index, and has a test here with Envoy and
// nginx at least.
func TestRecipes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(programs.root, recipePage("*")))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Glob(filepath.Join(programs.root, "e2e", "recipes_*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range tests {
		code.WriteString(readText(t, file))
	}
	index := readText(t, filepath.Join(programs.root, recipePage("README")))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		if name == "README" {
			continue
		}
		if !strings.Contains(index, "("+name+".md)") {
			t.Errorf("docs/recipes/README.md has no link to %s.md", name)
		}
		if !strings.Contains(code.String(), fmt.Sprintf("newRecipe(t, %q, ", name)) {
			t.Errorf("no test runs docs/recipes/%s.md", name)
		}
	}
	if len(files) < 5 {
		t.Errorf("found only the pages %q", files)
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRecipeExpectations: a comment is either read or refused.
func TestRecipeExpectations(t *testing.T) {
	got, err := expectationOf(`curl https://x/ -u "$K:" # 200, X-Auth-Subject: a b, X-Api-Key: -`)
	if err != nil || got.status != "200" || !slices.Equal(got.upstream, []headerLine{{"X-Auth-Subject", "a b"}, {"X-Api-Key", "-"}}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := expectationOf("curl x \\\n  -d '# 200' # 401 unknown_key"); err != nil || got.reason != "unknown_key" || got.upstream != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"curl x", "curl x # OK", "curl x # 401", "curl x # 200 ok", "curl x # 200 X-Auth-Subject: a", "curl x # 200, ", "curl x # 200 "} {
		if got, err := expectationOf(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}
