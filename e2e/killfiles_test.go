package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
)

// killView is what the files say.
type killView struct {
	keys  map[string]*store.KeyRecord // by id
	named map[string]*store.KeyRecord
	users map[string]*store.UserRecord
	log   []audit.Entry
}

func (k *killed) read() *killView {
	t, ctx := k.m.t, k.m.t.Context()
	t.Helper()
	path := func(name string) string { return filepath.Join(k.m.dir, name) }
	v := &killView{keys: map[string]*store.KeyRecord{}, named: map[string]*store.KeyRecord{}, users: map[string]*store.UserRecord{}}
	keys, _, err := filestore.NewKeyFile(filestore.KeyFileConfig{Path: path("keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})}).List(ctx, store.KeyFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		r := &keys[i]
		if v.named[r.Name] != nil && r.Name != "root" {
			t.Errorf("%s was created twice", r.Name)
		}
		v.keys[r.ID], v.named[r.Name] = r, r
	}
	users, _, err := filestore.NewUserFile(filestore.UserFileConfig{Path: path("users.jsonl")}).List(ctx, store.UserFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range users {
		v.users[users[i].Name] = &users[i]
	}
	if v.log, _, err = filestore.NewAuditFile(filestore.AuditFileConfig{Path: path("audit.jsonl")}).List(ctx, store.AuditFilter{}, store.Page{}); err != nil {
		t.Fatal(err)
	}
	return v
}

// of returns the record's state, and the hash of a key's secret.
func (v *killView) of(r *killRecord) (state, hash string) {
	if r.user {
		if found := v.users[r.name]; found != nil {
			return found.Scopes[0], ""
		}
		return isAbsent, ""
	}
	found := v.named[r.name]
	switch {
	case found == nil || r.id != "" && r.id != found.ID:
		return isAbsent, ""
	case found.Revoked.IsZero():
		return isActive, fmt.Sprintf("%x", found.Hash)
	default:
		return isRevoked, fmt.Sprintf("%x", found.Hash)
	}
}

// checkRecords compares the files with what was acknowledged. An interrupted change
// may have been made, and then entirely.
func (k *killed) checkRecords() {
	v := k.read()
	for _, w := range k.workers {
		if w.pending != nil {
			k.resolve(v, w.pending)
		}
		for _, r := range w.records {
			if state, hash := v.of(r); state != r.state || state != isAbsent && hash != r.hash {
				k.m.t.Errorf("%s (%s) is %q, and was acknowledged as %q (another secret: %t)", r.name, r.id, state, r.state, hash != r.hash)
			}
		}
	}
}

// resolve finds out whether an interrupted change was made.
func (k *killed) resolve(v *killView, c *killChange) {
	made := 0
	for _, r := range c.records {
		state, hash := v.of(r)
		if state == r.state && (hash == r.hash || state == isAbsent) {
			continue
		}
		made++
		if !r.user && state != isAbsent {
			r.id = v.named[r.name].ID
		}
		if state == c.after && (c.action == audit.KeyRotate || c.action == audit.KeyCreate || hash == r.hash || state == isAbsent) {
			if state != isAbsent {
				r.hash = hash
			}
			r.state = state
			r.done[c.action]++
		}
	}
	if made > 0 && made < len(c.records) {
		k.m.t.Errorf("%s was made of %d of %d records", c, made, len(c.records))
	}
	if c.made = made > 0; c.made {
		k.made++
	}
}

// checkFiles compares the files with the audit log, after a change that puts both in
// order.
func (k *killed) checkFiles() {
	k.checkRecords()
	t, v := k.m.t, k.read()
	numbers := map[string]map[int64]bool{"key": numbersIn(k.m, "keys.jsonl"), "user": numbersIn(k.m, "users.jsonl")}
	done := map[string]map[audit.Action]int{}
	seen := map[int64]bool{}
	for i := range v.log {
		e := &v.log[i]
		seen[e.Seq] = true
		if !e.Action.Changes() {
			continue
		}
		if made := numbers[e.Action.Kind()][e.Seq]; made != (e.Outcome == audit.Done) {
			t.Errorf("entry %d, %s of %s: %s, and its change was made: %t", e.Seq, e.Action, e.Record, e.Outcome, made)
		}
		if e.Outcome == audit.Done {
			if done[e.Record] == nil {
				done[e.Record] = map[audit.Action]int{}
			}
			done[e.Record][e.Action]++
		}
	}
	for kind, all := range numbers {
		for seq := range all {
			if !seen[seq] {
				t.Errorf("change %d of a %s has no entry", seq, kind)
			}
		}
	}
	for _, w := range k.workers {
		w.checkEntries(done)
	}
}

// checkEntries compares the entries of the worker's changes with those that were made.
func (w *killWorker) checkEntries(done map[string]map[audit.Action]int) {
	for _, r := range w.records {
		target := r.id
		if r.user {
			target = r.name
		}
		for _, action := range audit.Actions() {
			if got := done[target][action]; target != "" && got != r.done[action] {
				w.m.t.Errorf("%s (%s): %d entries of %s, and %d changes", r.name, target, got, action, r.done[action])
			}
		}
	}
}

var changeNumber = regexp.MustCompile(`"seq":(\d+)[,}]`)

// numbersIn are the numbers of the changes in a file.
func numbersIn(m *managed, file string) map[int64]bool {
	text, err := os.ReadFile(filepath.Join(m.dir, file))
	if err != nil {
		m.t.Fatal(err)
	}
	numbers := map[int64]bool{}
	for line := range bytes.Lines(text) {
		if found := changeNumber.FindSubmatch(line); found != nil {
			seq, _ := strconv.ParseInt(string(found[1]), 10, 64)
			numbers[seq] = true
		}
	}
	return numbers
}
