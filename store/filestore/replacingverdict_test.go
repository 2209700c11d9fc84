package filestore

import (
	"context"
	"encoding/hex"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/keyindex"
	"keyward/store"
)

// verdict is what must be in the file at the end.
type verdict struct {
	t     *testing.T
	moves []replacement
	hash  map[int]string // of keys whose last change must be there; "-" is revoked
	open  map[int]bool   // keys of which nothing can be said

	changes, undone    int
	compactions, again int64
}

// check compares each change with what was in the named file, and notes
// which must still be there.
func (v *verdict) check(w *writer) {
	v.compactions, v.again = v.compactions+w.compactions.Load(), v.again+w.again.Load()
	for _, c := range w.changes {
		v.changes++
		excused, undone := false, false
		for _, m := range v.moves {
			after := m.renamed >= c.synced // in that very instant, or later
			excused = excused || after && m.renaming <= c.looked
			undone = undone || after && m.copied <= c.synced
			if after && m.renaming <= c.synced {
				v.open[c.key] = true // who was first?
			}
		}
		if !c.named && !excused {
			v.t.Errorf("key %d: reported as done, and not in the file that the path names", c.key)
		}
		if undone {
			v.undone++
			continue
		}
		v.hash[c.key] = c.hash
	}
}

// compare compares the file with what must be in it.
func (v *verdict) compare(path string) {
	all, _, err := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{})}).List(context.Background(), store.KeyFilter{}, store.Page{})
	if err != nil {
		v.t.Fatal(err)
	}
	byID := make(map[string]*store.KeyRecord, len(all))
	for i := range all {
		byID[all[i].ID] = &all[i]
	}
	for _, m := range v.moves {
		v.hash[m.key] = "-"
	}
	served := loaded(v.t, path)
	for key, hash := range v.hash {
		r := byID[idOf(key)]
		if v.open[key] || r == nil {
			continue
		}
		key, err := served.Find(r.Hash, time.Now())
		switch {
		case hash == "-" && (!r.Ended() || err != nil || key.State != keyindex.Revoked):
			v.t.Errorf("%s was revoked and is active", r.ID)
		case hash != "-" && hex.EncodeToString(r.Hash[:]) != hash:
			v.t.Errorf("%s has lost the secret that it was given", r.ID)
		}
	}
	if len(all) == 0 {
		v.t.Error("no keys are left")
	}
}
