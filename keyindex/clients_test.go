package keyindex

import (
	"errors"
	"testing"
	"time"

	"keyward/store"
)

const (
	shopID  = "c_8ENbdXlcXqgH"
	otherID = "c_8ENbdXlcXqgX"
)

// shop is the record of a confidential client in force, with changes.
func shop(changes ...func(*store.Client)) store.Client {
	r := store.Client{ID: shopID, Name: "Shop", Scopes: []string{"read", "write"}, Created: loadedAt, At: loadedAt, Hash: [32]byte{1}}
	for _, change := range changes {
		change(&r)
	}
	return r
}

// clientsOf are clients of records that are applied one after the other, after the set is in
// force.
func clientsOf(t *testing.T, records ...store.Client) (*Clients, []time.Time) {
	t.Helper()
	clients := NewClients()
	clients.Commit(clients.Begin())
	return clients, applyClients(t, clients.set.Load(), records...)
}

func applyClients(t *testing.T, set store.Generation[store.Client], records ...store.Client) (ended []time.Time) {
	t.Helper()
	for _, r := range records {
		at, err := set.Apply(&r)
		if err != nil {
			t.Fatal(err)
		}
		ended = append(ended, at)
	}
	return ended
}

// TestClientsNotLoaded: before the first records are in force no client is found, and the
// caller learns that this is not an answer.
func TestClientsNotLoaded(t *testing.T) {
	clients := NewClients()
	if _, found := clients.Lookup(shopID); found || clients.AllowsOrigin("https://app.example.com") || !errors.Is(clients.Ready(), ErrNotLoaded) {
		t.Errorf("found %v, ready %v", found, clients.Ready())
	}
	reason := errors.New("a bad header")
	clients.Fault(reason)
	if !errors.Is(clients.Ready(), reason) {
		t.Errorf("ready: %v", clients.Ready())
	}
	clients.Commit(clients.Begin())
	clients.Applied()
	if clients.Ready() != nil {
		t.Errorf("ready: %v", clients.Ready())
	}
}

// TestClientRecords: what later records make of a client: which one is found, whether the
// tokens of before ended, and that a cached client learns of each change.
func TestClientRecords(t *testing.T) {
	later := loadedAt.Add(time.Hour)
	at := func(r *store.Client) { r.At = later }
	disabled := func(r *store.Client) { r.Disabled = true }
	generation := func(n int64) func(*store.Client) { return func(r *store.Client) { r.Gen = n } }
	unsupported := func(r *store.Client) { r.Unsupported = true }
	deleted := func(r *store.Client) { r.Deleted = later }
	narrower := func(r *store.Client) { r.Scopes = []string{"read"} }
	for what, c := range map[string]struct {
		before, after store.Client
		ended         bool // the tokens of before
		found         bool
		disabled      bool
		gen           int64
		scopes        string
	}{
		"other scopes":            {shop(), shop(at, narrower), false, true, false, 0, "read"},
		"disabled":                {shop(), shop(at, disabled), true, true, true, 0, "read write"},
		"enabled again":           {shop(disabled), shop(at), false, true, false, 0, "read write"},
		"disabled, and more":      {shop(disabled), shop(at, disabled, generation(1)), false, true, true, 1, "read write"},
		"all its tokens ended":    {shop(generation(1)), shop(at, generation(2)), true, true, false, 2, "read write"},
		"an earlier generation":   {shop(generation(2)), shop(at, generation(1)), false, true, false, 2, "read write"},
		"deleted":                 {shop(), shop(at, deleted), true, false, false, 0, ""},
		"a record of a newer one": {shop(), shop(at, unsupported), true, true, true, 0, ""},
	} {
		clients, _ := clientsOf(t, c.before)
		cached, _ := clients.Lookup(shopID)
		if cached.Stale() {
			t.Errorf("%s: stale from the beginning", what)
		}
		ended := applyClients(t, clients.set.Load(), c.after)[0]
		if want := (map[bool]time.Time{true: later})[c.ended]; !ended.Equal(want) {
			t.Errorf("%s: ended %v, want %v", what, ended, want)
		}
		if !cached.Stale() {
			t.Errorf("%s: the one that was found before is not stale", what)
		}
		client, found := clients.Lookup(shopID)
		if found != c.found || found && (client.Disabled != c.disabled || client.Gen != c.gen || client.Scopes.String() != c.scopes || client.Stale()) {
			t.Errorf("%s: %v, %+v", what, found, client)
		}
	}
}

// TestClientGenerationStays: no record takes a generation back, nor one that makes a deleted
// client again.
func TestClientGenerationStays(t *testing.T) {
	clients, _ := clientsOf(t, shop(func(r *store.Client) { r.Gen = 4 }), shop(func(r *store.Client) { r.Gen, r.Deleted = 5, loadedAt }), shop())
	if client, found := clients.Lookup(shopID); !found || client.Gen != 5 {
		t.Errorf("%v, %+v", found, client)
	}
}

// TestClientsReplaced: with all records read again, those that were found before are stale,
// and the new ones are not.
func TestClientsReplaced(t *testing.T) {
	clients, _ := clientsOf(t, shop())
	cached, _ := clients.Lookup(shopID)
	next := clients.Begin()
	applyClients(t, next, shop())
	if cached.Stale() {
		t.Error("stale before the new ones are in force")
	}
	clients.Commit(next)
	if again, found := clients.Lookup(shopID); !cached.Stale() || !found || again.Stale() {
		t.Errorf("stale %v, then %v %+v", cached.Stale(), found, again)
	}
}

// TestClientsSuspended: while clients are suspended none is found, and those that were found
// before stay stale.
func TestClientsSuspended(t *testing.T) {
	clients, _ := clientsOf(t, shop(func(r *store.Client) { r.Public, r.RedirectURIs = true, []string{"https://app.example.com/cb"} }))
	cached, _ := clients.Lookup(shopID)
	clients.Suspend()
	if _, found := clients.Lookup(shopID); found || !cached.Stale() || !errors.Is(clients.Ready(), ErrSuspended) || clients.AllowsOrigin("https://app.example.com") {
		t.Errorf("found %v, stale %v, ready %v", found, cached.Stale(), clients.Ready())
	}
	if !clients.Resume() || clients.Resume() {
		t.Error("resume")
	}
	if _, found := clients.Lookup(shopID); !found || !cached.Stale() || clients.Ready() != nil {
		t.Errorf("found %v, stale %v, ready %v", found, cached.Stale(), clients.Ready())
	}
}

// TestClientsUndone: which files put clients or tokens in force again that have ended.
func TestClientsUndone(t *testing.T) {
	other := shop(func(r *store.Client) { r.ID = otherID })
	fourth := shop(func(r *store.Client) { r.Gen = 4 })
	deleted := shop(func(r *store.Client) { r.Gen, r.Deleted = 5, loadedAt })
	for what, c := range map[string]struct {
		before, next []store.Client
		undone       bool
	}{
		"the same":              {[]store.Client{fourth, other}, []store.Client{fourth, other}, false},
		"none before":           {nil, []store.Client{fourth}, false},
		"none at all":           {nil, nil, false},
		"a later generation":    {[]store.Client{shop()}, []store.Client{fourth}, false},
		"an earlier one":        {[]store.Client{fourth, other}, []store.Client{shop(), other}, true},
		"a deleted one":         {[]store.Client{fourth, deleted, other}, []store.Client{shop(func(r *store.Client) { r.Gen = 9 }), other}, true},
		"still deleted":         {[]store.Client{fourth, deleted, other}, []store.Client{deleted, other}, false},
		"without one of them":   {[]store.Client{fourth, other}, []store.Client{other}, false},
		"none of them":          {[]store.Client{fourth}, []store.Client{other}, true},
		"none of them, deleted": {[]store.Client{fourth, deleted}, []store.Client{other}, false},
		"an empty file":         {[]store.Client{fourth, other}, nil, true},
	} {
		clients, _ := clientsOf(t, c.before...)
		next := clients.Begin()
		applyClients(t, next, c.next...)
		if err := clients.Undone(next, loadedAt); (err != nil) != c.undone {
			t.Errorf("%s: %v", what, err)
		}
	}
	clients := NewClients()
	if err := clients.Undone(clients.Begin(), loadedAt); err != nil {
		t.Errorf("before the first: %v", err)
	}
}

// TestAllowsOrigin: the origins of public clients in force, and no others.
func TestAllowsOrigin(t *testing.T) {
	public := func(uris ...string) func(*store.Client) {
		return func(r *store.Client) { r.Public, r.RedirectURIs = true, uris }
	}
	spa := shop(public("https://app.example.com/cb", "http://127.0.0.1:8080/cb", "https://app.example.com:8443/a?b=c"))
	confidential := shop(func(r *store.Client) { r.ID, r.RedirectURIs = otherID, []string{"https://shop.example.com/cb"} })
	clients, _ := clientsOf(t, spa, confidential)
	for origin, want := range map[string]bool{
		"https://app.example.com": true, "http://127.0.0.1:8080": true, "https://app.example.com:8443": true, "https://shop.example.com": false, "http://app.example.com": false,
		"https://app.example.com/": false, "https://app.example.com/cb": false, "HTTPS://APP.EXAMPLE.COM": false, "https://app.example.com:443": false, "null": false, "": false, "*": false,
		"http://127.0.0.1": false, "https://sub.app.example.com": false,
	} {
		if clients.AllowsOrigin(origin) != want {
			t.Errorf("%q: %v", origin, !want)
		}
	}
	for what, change := range map[string]func(*store.Client){
		"disabled": func(r *store.Client) { r.Disabled = true }, "deleted": func(r *store.Client) { r.Deleted = loadedAt },
		"no longer public": func(r *store.Client) { r.Public = false }, "a record of a newer one": func(r *store.Client) { r.Unsupported = true },
		"another redirect URI": public("https://new.example.com/cb"),
	} {
		clients, _ := clientsOf(t, spa, shop(public("https://app.example.com/cb"), change))
		if clients.AllowsOrigin("https://app.example.com") {
			t.Errorf("%s: allowed", what)
		}
	}
}
