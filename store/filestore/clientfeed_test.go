package filestore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/journal"
	"keyward/store/oauth"
)

// clientFollowed is a file of OAuth clients, its writer and a server's view of it.
type clientFollowed struct {
	*testing.T
	path     string
	file     *ClientFile
	clients  *keyindex.Clients
	follower store.Follower
}

func followClients(t *testing.T, lines string) *clientFollowed {
	t.Helper()
	hasher := apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))
	f := &clientFollowed{T: t, path: filepath.Join(t.TempDir(), "clients.jsonl"), clients: keyindex.NewClients()}
	f.file = NewClientFile(ClientFileConfig{Path: f.path, Hasher: hasher})
	if lines != "" {
		if err := os.WriteFile(f.path, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	f.follower, err = ClientFeed{Hasher: hasher, FollowConfig: journal.FollowConfig{Path: f.path, MissingOK: true, Every: time.Hour, Settle: time.Millisecond}}.Follow(f.clients)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.follower.Close() })
	return f
}

const feedClient = "c_8ENbdXlcXqgH"

// put writes a client, and returns it as the server has it.
func (f *clientFollowed) put(change func(r *store.Client)) (*keyindex.Client, bool) {
	f.Helper()
	at := time.Now().UTC()
	r := store.Client{ID: feedClient, Name: "Shop", Public: true, RedirectURIs: []string{"https://shop.example.com/cb"}, Scopes: []string{"read"}, Grants: []oauth.Grant{oauth.AuthorizationCode}, Created: at, At: at}
	change(&r)
	if err := put(f.file.Editor(nil), &r); err != nil {
		f.Fatal(err)
	}
	if err := f.follower.Await(f.Context()); err != nil {
		f.Fatal(err)
	}
	return f.clients.Lookup(r.ID)
}

// TestClientFeed: each change of the file is in force at the server: from the first, which makes
// the file, to the end of the client.
func TestClientFeed(t *testing.T) {
	f := followClients(t, "")
	if err := f.clients.Ready(); err != nil {
		t.Fatalf("without a file: %v", err)
	}
	first, found := f.put(func(*store.Client) {})
	if !found || first.Disabled || first.Scopes.String() != "read" || !f.clients.AllowsOrigin("https://shop.example.com") {
		t.Fatalf("%v %+v", found, first)
	}
	second, found := f.put(func(r *store.Client) { r.Scopes, r.Gen = []string{"read", "write"}, 3 })
	if !found || !first.Stale() || second.Scopes.String() != "read write" || second.Gen != 3 {
		t.Errorf("a change: %v %+v", found, second)
	}
	if disabled, found := f.put(func(r *store.Client) { r.Disabled, r.Gen = true, 4 }); !found || !disabled.Disabled || !second.Stale() || f.clients.AllowsOrigin("https://shop.example.com") {
		t.Errorf("disabled: %v %+v", found, disabled)
	}
	if deleted, found := f.put(func(r *store.Client) { r.Deleted, r.Gen = time.Now().UTC(), 5 }); found {
		t.Errorf("deleted: %+v", deleted)
	}
	if again, found := f.put(func(*store.Client) {}); !found || again.Gen != 5 {
		t.Errorf("an older record again: %v %+v", found, again)
	}
}

// TestClientFeedLines: what a server makes of lines that an older or a newer program wrote, or
// none did.
func TestClientFeedLines(t *testing.T) {
	written := followClients(t, "")
	written.put(func(*store.Client) {})
	text, err := os.ReadFile(written.path)
	if err != nil {
		t.Fatal(err)
	}
	head, line, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\n")
	with := func(more string) string { return strings.TrimSuffix(line, "}") + more + "}" }
	for what, c := range map[string]struct {
		lines           string
		found, disabled bool
	}{
		"as it was written":      {head + "\n" + line + "\n", true, false},
		"a torn line":            {head + "\n" + line + "\n" + line[:20], true, false},
		"an unknown member":      {head + "\n" + with(`,"colour":"red"`) + "\n", true, false},
		"one that must be known": {head + "\n" + with(`,"colour":"red","must":["colour"]`) + "\n", true, true},
		"the file has none":      {head + "\n", false, false},
	} {
		f := followClients(t, c.lines)
		if err := f.follower.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		client, found := f.clients.Lookup(feedClient)
		if found != c.found || found && client.Disabled != c.disabled || f.clients.Ready() != nil {
			t.Errorf("%s: %v %+v, ready %v", what, found, client, f.clients.Ready())
		}
	}
	other := followClients(t, strings.Replace(head, `"clients"`, `"projects"`, 1)+"\n"+line+"\n")
	if _, found := other.clients.Lookup(feedClient); found || other.clients.Ready() == nil {
		t.Error("a file of another kind is in force")
	}
}
