package keypages

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/store"
)

// formPage is what the form of a new key, or of a change, gets.
type formPage struct {
	*page.Form
	Action, Cancel string
	Own            bool
	Key            *key // that is changed; nil for a new one
	Scopes         []offered
	Managing       []offered // those of Keyward itself; only an administrator grants them
	Lifetimes      []lifetime
	Tomorrow       string
	Users          []string // the newest, to choose from; a script finds others
	Changed        []difference
	Haplo          bool
}

// offered is a scope that the form offers.
type offered struct {
	Name, Description string
	Chosen            bool
}

// lifetime is an expiry that the form offers.
type lifetime struct {
	Value, Text string
	Until       time.Time
}

// difference is a field that another actor changed while the form was open.
type difference struct{ Field, Now string }

// The fields by the members of a key.
var keyFields = page.Fields{
	{Member: "name", ID: "name", Label: "Name"}, {Member: "user", ID: "key-user", Label: "User"}, {Member: "project", ID: "project", Label: "Project"},
	{Member: "scopes", ID: "other", Label: "Scopes"}, {Member: "paths", ID: "paths", Label: "Paths"}, {Member: "expires", ID: "expires", Label: "Expiry"},
	{Member: "rate", ID: "rate", Label: "Rate limit"}, {Member: "cidrs", ID: "cidrs", Label: "Networks:"}, {Member: "not_before", ID: "begins", Label: "Start"},
	{Member: "description", ID: "description", Label: "Description"}, {Member: "owner", ID: "owner", Label: "Owner"}, {Member: "prefix", ID: "name", Label: "Prefix"},
}

// managing are the scopes of Keyward itself.
var managing = []config.NamedScope{
	{Name: access.ScopeRead, Description: "Read everything, including the audit log, but no secrets"},
	{Name: access.ScopeKeys, Description: "Create, change and revoke the keys of any user"},
	{Name: access.ScopeUsers, Description: "Create, change and disable users"},
	{Name: access.ScopeSelf, Description: "Its user's own keys and sessions"},
	{Name: access.ScopeAdmin, Description: "Everything"},
}

// form returns what the page of a form shows beside its fields.
func (a area) form(r *page.Request, f *page.Form, k *key) formPage {
	data := formPage{
		Form: f, Action: a.path, Cancel: a.path, Own: a.own, Key: k, Tomorrow: r.Now().AddDate(0, 0, 1).Format(time.DateOnly),
		Haplo: r.Settings().Style == config.ConsoleHaplo,
	}
	if k != nil {
		data.Action, data.Cancel = k.Path+"/edit", k.Path
	}
	for _, days := range []int{30, 60, 90} {
		data.Lifetimes = append(data.Lifetimes, lifetime{page.Count(uint64(days)) + "d", page.Plural(days, "day"), r.Now().AddDate(0, 0, days)})
	}
	data.offer(r, a.own)
	if !a.own && r.Actor.Has(seeUsers) {
		data.Users, _ = findUsers(r, "") // without them the name is typed
	}
	return data
}

// offer adds the scopes that the configuration names; in one's own form those that the
// user has.
func (p *formPage) offer(r *page.Request, own bool) {
	settings := r.Settings()
	named := slices.Clone(settings.Scopes)
	for _, scope := range settings.RouteScopes {
		if !slices.ContainsFunc(named, func(s config.NamedScope) bool { return s.Name == scope }) {
			named = append(named, config.NamedScope{Name: scope})
		}
	}
	has := func(string) bool { return true }
	if own && !r.Actor.Unbounded() {
		user, err := r.Service().Users.Get(r.Context(), r.Actor.User())
		scopes, _ := authz.ParseScopes(user.Scopes)
		has = func(name string) bool {
			one, wrong := authz.ParseScopes([]string{name})
			return err == nil && wrong == nil && scopes.Contains(one)
		}
	}
	for _, s := range named {
		if len(access.Managing([]string{s.Name})) == 0 && (has(s.Name) || p.Is("scope", s.Name)) {
			p.Scopes = append(p.Scopes, offered{s.Name, s.Description, p.Is("scope", s.Name)})
		}
	}
	if r.Actor.Unbounded() {
		for _, s := range managing {
			p.Managing = append(p.Managing, offered{s.Name, s.Description, p.Is("scope", s.Name)})
		}
	}
	p.Values.Set("other", strings.Join(p.others(), " "))
}

// others are the scopes that were typed, or that the key has and the form does not offer.
func (p *formPage) others() []string {
	others := strings.Fields(p.Value("other"))
	for _, name := range p.Values["scope"] {
		is := func(s offered) bool { return s.Name == name }
		if !slices.ContainsFunc(p.Scopes, is) && !slices.ContainsFunc(p.Managing, is) && !slices.Contains(others, name) {
			others = append(others, name)
		}
	}
	return others
}

// typed is what a form says of a key.
type typed struct {
	store.KeyParams
	keepExpiry bool
}

// readForm reads the form, and adds what is wrong with it.
func readForm(r *page.Request, f *page.Form, own bool) typed {
	var t typed
	t.Name, t.Project, t.Rate = r.Value("name"), r.Value("project"), r.Value("rate")
	t.Description, t.Owner = r.Value("description"), r.Value("owner")
	if t.User = r.Value("user"); own {
		t.User = r.Actor.User()
	}
	t.Paths = page.Lines(r.Sent.Get("paths"))
	if r.Value("scopes") != "user" {
		scopes := scopesOf(r.Sent)
		t.Scopes = &scopes
	}
	var err error
	if t.CIDRs, err = input.Networks(page.Lines(r.Sent.Get("cidrs"))); err != nil {
		f.Take(err, keyFields)
	}
	t.Expires, t.keepExpiry = expiryOf(r, f)
	if text := r.Value("begins"); text != "" {
		if t.NotBefore, err = time.Parse(time.DateOnly, text); err != nil {
			f.Add("begins", "The start is not a date like 2026-12-31.")
		}
	}
	return t
}

// scopesOf are the scopes that a form has, each once.
func scopesOf(values url.Values) []string {
	scopes := append([]string{}, values["scope"]...)
	for _, scope := range strings.Fields(values.Get("other")) {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// expiryOf reads when the key is to end; keep means as before.
func expiryOf(r *page.Request, f *page.Form) (at time.Time, keep bool) {
	switch choice := r.Value("expires"); choice {
	case "keep":
		return time.Time{}, true
	case "none":
		return time.Time{}, false
	case "":
		f.Add("expires", "Choose when the "+r.Words().Key+" ends.")
	case "custom":
		day, err := time.Parse(time.DateOnly, r.Value("expires_on"))
		if err != nil {
			f.Add("expires-on", "The last day is not a date like 2026-12-31.")
			break
		}
		return day.AddDate(0, 0, 1), false // the last day is one of the key's
	default:
		at, err := input.Expiry(choice, r.Now())
		if err != nil {
			f.Take(err, keyFields)
		}
		return at, false
	}
	return time.Time{}, false
}

// checkUser adds that there is no such user, which is a slip of the one who typed it.
func checkUser(r *page.Request, f *page.Form, name string) error {
	if name == "" {
		return nil
	}
	_, err := r.Service().Users.Get(r.Context(), name)
	err = fault.Of(err)
	if err != nil && fault.CodeOf(err) == fault.NotFound {
		f.Add("key-user", "There is no such user.")
		return nil
	}
	return err
}

// formOf is the form of a key as it is.
func formOf(k *key) *page.Form {
	values := url.Values{
		"name": {k.Name}, "project": {k.Project}, "rate": {k.Rate}, "description": {k.Description}, "owner": {k.Owner},
		"paths": {strings.Join(k.Paths, "\n")}, "expires": {"keep"}, "scopes": {"user"},
	}
	if k.Scopes != nil {
		values["scopes"], values["scope"] = []string{"list"}, *k.Scopes
	}
	var networks []string
	for _, network := range k.CIDRs {
		networks = append(networks, network.String())
	}
	values.Set("cidrs", strings.Join(networks, "\n"))
	if !k.NotBefore.IsZero() {
		values.Set("begins", k.NotBefore.Format(time.DateOnly))
	}
	f := page.NewForm(values)
	f.ETag = string(k.ETag)
	return f
}
