package storetest

import (
	"errors"
	"slices"
	"time"

	"keyward/store"
)

// wantIDs holds a list of keys to their ids.
func (f *fixture) wantIDs(what string, filter store.KeyFilter, page store.Page, ids ...string) store.Cursor {
	f.Helper()
	all, next, err := f.Keys.List(f.ctx(), filter, page)
	if err != nil {
		f.Fatalf("%s: %v", what, err)
	}
	var got []string
	for i := range all {
		got = append(got, all[i].ID)
	}
	if !slices.Equal(got, ids) {
		f.Errorf("%s: %q, want %q", what, got, ids)
	}
	return next
}

func testListKeys(f *fixture) {
	var ids []string
	for i, p := range []store.KeyParams{{Name: "web", User: "alice", Project: "p1"}, {Name: "worker", User: "bob", Project: "p1"}, {Name: "web 2", User: "bob"}} {
		r, _, err := f.Keys.Create(f.ctx(), p)
		if err != nil {
			f.Fatal(i, err)
		}
		ids = append(ids, r.ID)
		f.pass(time.Second)
	}
	// A change does not move a key in the list.
	if _, err := f.Keys.Revoke(f.ctx(), ids[0], store.AnyVersion); err != nil {
		f.Fatal(err)
	}
	f.wantIDs("all", store.KeyFilter{}, store.Page{}, ids...)
	f.wantIDs("newest first", store.KeyFilter{}, store.Page{NewestFirst: true}, ids[2], ids[1], ids[0])
	f.wantIDs("of a user", store.KeyFilter{User: "bob"}, store.Page{}, ids[1:]...)
	f.wantIDs("of a project", store.KeyFilter{Project: "p1"}, store.Page{}, ids[:2]...)
	f.wantIDs("filters combine", store.KeyFilter{User: "bob", Project: "p1"}, store.Page{}, ids[1])
	f.wantIDs("a part of the name", store.KeyFilter{Text: "web"}, store.Page{}, ids[0], ids[2])
	f.wantIDs("an id", store.KeyFilter{Text: ids[1]}, store.Page{}, ids[1])
	f.wantIDs("some ids", store.KeyFilter{IDs: map[string]bool{ids[2]: true, ids[0]: true, "k_000000000000": true}}, store.Page{}, ids[0], ids[2])
	f.wantIDs("no ids", store.KeyFilter{IDs: map[string]bool{}}, store.Page{})
	f.wantIDs("none", store.KeyFilter{User: "carol"}, store.Page{})
	f.pass(-time.Hour) // a clock that goes back
	earlier, _ := f.create("earlier")
	f.wantIDs("in the order of their times", store.KeyFilter{}, store.Page{Limit: 2}, earlier.ID, ids[0])
	odd, _ := f.create(`ä "q" <b>\`)
	for _, text := range []string{"ä", `"q"`, "<b>", `\`, " ", `ä "q" <b>\`, odd.Hint} {
		f.wantIDs("a text that JSON escapes: "+text, store.KeyFilter{Text: text, User: odd.User}, store.Page{NewestFirst: true, Limit: 1}, odd.ID)
	}
	rotated, _, err := f.Keys.Rotate(f.ctx(), odd.ID, store.AnyVersion, time.Minute)
	if err != nil {
		f.Fatal(err)
	}
	f.wantIDs("a replaced secret", store.KeyFilter{Rotating: true, Now: rotated.Rotated}, store.Page{}, odd.ID)
	f.wantIDs("a replaced secret that is refused", store.KeyFilter{Rotating: true, Now: rotated.Rotated.Add(time.Minute)}, store.Page{})
	f.wantIDs("what only the line has", store.KeyFilter{Text: "created"}, store.Page{})
}

func testPages(f *fixture) {
	var at []store.Position
	var ids []string
	add := func() {
		r, _ := f.create("key")
		at = append(at, store.Position{Made: r.Created, ID: r.ID})
		slices.SortFunc(at, store.Position.Compare)
		ids = nil
		for _, p := range at {
			ids = append(ids, p.ID)
		}
	}
	for i := range 7 {
		add()
		if i%3 == 0 { // some are made at the same time
			f.pass(time.Second)
		}
	}
	for _, newestFirst := range []bool{false, true} {
		order := slices.Clone(ids)
		if newestFirst {
			slices.Reverse(order)
		}
		page := store.Page{Limit: 3, NewestFirst: newestFirst}
		page.After = f.wantIDs("the first page", store.KeyFilter{}, page, order[:3]...)
		if !newestFirst {
			add() // at the end
			order = slices.Clone(ids)
		}
		if _, err := f.Keys.Delete(f.ctx(), order[2], store.AnyVersion); err != nil { // the one that the page ended with
			f.Fatal(err)
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == order[2] })
		at = slices.DeleteFunc(at, func(p store.Position) bool { return p.ID == order[2] })
		page.After = f.wantIDs("the second page", store.KeyFilter{}, page, order[3:6]...)
		if next := f.wantIDs("the last page", store.KeyFilter{}, page, order[6:]...); next != "" {
			f.Errorf("behind the last page comes %q", next)
		}
	}
	for what, page := range map[string]store.Page{"an invented cursor": {After: "nonsense"}, "a limit below zero": {Limit: -1}} {
		if _, _, err := f.Keys.List(f.ctx(), store.KeyFilter{}, page); !errors.Is(err, store.ErrInvalid) {
			f.Errorf("%s: %v", what, err)
		}
	}
}
