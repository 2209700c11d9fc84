package storetest

import (
	"errors"
	"slices"
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// putClient writes the client as a change of it now.
func (f *fixture) putClient(r store.Client, action audit.Action) error {
	r.At = f.now()
	return f.ClientEditor.Edit(f.ctx(), func(tx store.Tx[store.Client]) error {
		tx.Put(&r, entry(action, r.ID))
		return nil
	})
}

// client makes a program that is an OAuth client.
func (f *fixture) client(id, name string) store.Client {
	f.Helper()
	r := store.Client{ID: id, Name: name, Grants: []oauth.Grant{oauth.ClientCredentials}, Hash: apikey.Digest{1}, Created: f.now()}
	if err := f.putClient(r, audit.ClientCreate); err != nil {
		f.Fatal(err)
	}
	return r
}

func testClients(f *fixture) {
	shop := f.client("c_0123456789ab", "Shop")
	f.pass(time.Minute)
	shop.Previous = []store.PreviousSecret{{Hash: shop.Hash, Until: f.now().Add(time.Hour)}}
	shop.Hash, shop.Scopes, shop.Rotated = apikey.Digest{2}, []string{"read"}, f.now()
	if err := f.putClient(shop, audit.ClientRotate); err != nil {
		f.Fatal(err)
	}
	got, err := f.Clients.Get(f.ctx(), shop.ID)
	if err != nil || got.Hash != shop.Hash || len(got.Previous) != 1 || !slices.Equal(got.Scopes, shop.Scopes) || !got.At.Equal(f.now()) {
		f.Errorf("%+v, %v", got, err)
	}
	if entries := f.entries(store.AuditFilter{Record: shop.ID}); len(entries) != 2 || entries[1].Seq != got.Seq {
		f.Errorf("%+v of a record of change %d", entries, got.Seq)
	}
	bad := shop
	bad.ID = "k_0123456789ab"
	if err := f.putClient(bad, audit.ClientCreate); !errors.Is(err, store.ErrInvalid) {
		f.Errorf("a client with the id of a key: %v", err)
	}
	shop.Delete(f.pass(time.Minute))
	if err := f.putClient(shop, audit.ClientDelete); err != nil {
		f.Fatal(err)
	}
	for _, id := range []string{shop.ID, "c_0123456789ac", ""} {
		if r, err := f.Clients.Get(f.ctx(), id); !errors.Is(err, store.ErrNotFound) {
			f.Errorf("%q: %+v, %v", id, r, err)
		}
	}
}

func testListClients(f *fixture) {
	f.client("c_0123456789ab", "Shop")
	f.pass(time.Minute)
	f.client("c_0123456789ac", "Report")
	for filter, want := range map[store.ClientFilter][]string{
		{}:                             {"Report", "Shop"},
		{Text: "o"}:                    {"Report", "Shop"},
		{Text: "hop"}:                  {"Shop"},
		{Text: "c_0123456789ac"}:       {"Report"},
		{Text: "c_0123"}:               {},
		{Grant: oauth.RefreshToken}:    {},
		{Grant: "client_credentials"}:  {"Report", "Shop"},
		{Grant: "other", Text: "Shop"}: {},
	} {
		all, next, err := f.Clients.List(f.ctx(), filter, store.Page{NewestFirst: true})
		names := []string{}
		for i := range all {
			names = append(names, all[i].Name)
		}
		if err != nil || next != "" || !slices.Equal(names, want) {
			f.Errorf("%+v: %q, %v; want %q", filter, names, err, want)
		}
	}
}

// testNewerClient: a record that a newer version wrote is one that is not supported.
func testNewerClient(f *fixture) {
	r := f.client("c_0123456789ab", "Shop")
	f.NewerClient(`{"id":"c_0123456789ab","must":["jwks"],"jwks":{},"created":"2026-01-02T03:04:05Z","at":"2026-01-02T03:04:05Z"}`)
	if got, err := f.Clients.Get(f.ctx(), r.ID); err != nil || !got.Unsupported {
		f.Errorf("%+v, %v", got, err)
	}
}
