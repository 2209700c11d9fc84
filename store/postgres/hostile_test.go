package postgres

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/store"
	"keyward/store/audit"
)

// hostileNames can be names of records.
var hostileNames = []string{
	`'; DROP TABLE key_record; --`, `" OR ""="`, `$1`, `%s%d`, `\'`, `\x00`, `E'\\'`, `$$`, `a'b"c`, `{a,b}`, `NULL`, `{"line"}`,
	"\U0001F511\U0001F512", "\u05e9\u05dc\u05d5\u05dd", "\u202eabc", "e\u0301", "\uFFFD", strings.Repeat("\U0001F511", 63), strings.Repeat("'", 255),
}

// unstorable cannot be text in Postgres, and no name has it.
var unstorable = []string{"\x00", "a\x00b", "\xff", "a\xc3\x28", "\xed\xa0\x80"}

// TestHostileNames: any name is kept and found as it is, and is nothing but a name.
func TestHostileNames(t *testing.T) {
	s := openStore(t, server.Database(t))
	now := time.Now().UTC()
	for _, name := range hostileNames {
		user := store.UserRecord{Name: name, Created: now, At: now}
		if strings.Contains(name, ":") {
			continue
		}
		put(t, s.UserEditor(), &user, anEntry(audit.UserCreate, name))
		project := store.Project{Name: name, Description: name, Members: []string{name}, Created: now, At: now}
		put(t, s.ProjectEditor(), &project, anEntry(audit.ProjectCreate, name))
		key := aKey(t, name)
		key.User, key.Project, key.Description, key.Owner = name, name, name, name
		put(t, s.KeyEditor(), &key, &audit.Entry{Actor: name, ActorKey: name, Operation: name, Action: audit.KeyCreate, Record: name, Via: audit.ViaCLI, Outcome: audit.Done, Reason: name})
		revocation := store.Revocation{TokenID: name, At: now}
		put(t, s.RevocationEditor(), &revocation, anEntry(audit.RevocationCreate, name))

		if got, err := s.Users().Get(t.Context(), name); err != nil || got.Name != name {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
		if got, err := s.Projects().Get(t.Context(), name); err != nil || got.Name != name || !slices.Equal(got.Members, []string{name}) {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
		for what, filter := range map[string]store.KeyFilter{"user": {User: name}, "project": {Project: name}, "text": {Text: name, IDs: map[string]bool{key.ID: true, name: true}}} {
			got, _, err := s.Keys().List(t.Context(), filter, store.Page{})
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], key) {
				t.Errorf("%s %q: %+v, %v", what, name, got, err)
			}
		}
		if got, _, err := s.Revocations().List(t.Context(), store.RevocationFilter{TokenID: name}, store.Page{}); err != nil || len(got) != 1 || got[0].TokenID != name {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
		for what, filter := range map[string]store.AuditFilter{"operation": {Operation: name}, "key": {Actor: name, Record: name}} {
			if got, _, err := s.Audit().List(t.Context(), filter, store.Page{}); err != nil || len(got) != 1 || got[0].Reason != name {
				t.Errorf("%s %q: %+v, %v", what, name, got, err)
			}
		}
		if made, err := s.Keys().LatestKeys(t.Context(), []string{name, "none"}); err != nil || !made[name].Equal(key.Created) || !made["none"].IsZero() {
			t.Errorf("%q: %v, %v", name, made, err)
		}
	}
	pages(t, s, len(hostileNames))
}

// pages reads all users page by page.
func pages(t *testing.T, s *Store, want int) {
	t.Helper()
	for _, newestFirst := range []bool{false, true} {
		var names []string
		for page := (store.Page{Limit: 1, NewestFirst: newestFirst}); ; {
			users, next, err := s.Users().List(t.Context(), store.UserFilter{}, page)
			if err != nil || len(users) != 1 {
				t.Fatalf("%+v, %v", users, err)
			}
			names = append(names, users[0].Name)
			if page.After = next; next == "" {
				break
			}
		}
		sorted := slices.Sorted(slices.Values(names))
		if newestFirst {
			slices.Reverse(sorted)
		}
		if len(names) != want || !slices.Equal(names, sorted) { // they were made at one time
			t.Errorf("%q, want %d", names, want)
		}
	}
}

func put[R any](t *testing.T, editor store.Editor[R], r *R, e *audit.Entry) {
	t.Helper()
	err := editor.Edit(t.Context(), func(tx store.Tx[R]) error {
		tx.Put(r, e)
		return nil
	})
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
}

// TestUnstorableText: text that Postgres cannot have is not there, which is not an error
// of the database; and it is never taken for another text.
func TestUnstorableText(t *testing.T) {
	s := openStore(t, server.Database(t))
	key := aKey(t, "\uFFFD")
	key.User = "\uFFFD"
	put(t, s.KeyEditor(), &key, anEntry(audit.KeyCreate, "\uFFFD"))
	for _, text := range append(unstorable, "") {
		_, errKey := s.Keys().Get(t.Context(), text)
		_, errUser := s.Users().Get(t.Context(), text)
		_, errProject := s.Projects().Get(t.Context(), text)
		_, errClient := s.Clients().Get(t.Context(), text)
		_, errSecret := s.Keys().FindBySecret(t.Context(), authz.NewSecret(text))
		_, errDeleted := s.Keys().Deleted(t.Context(), text)
		for what, err := range map[string]error{"key": errKey, "user": errUser, "project": errProject, "client": errClient, "secret": errSecret, "deleted": errDeleted} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s %q: %v", what, text, err)
			}
		}
		if text == "" {
			continue
		}
		for _, filter := range []store.KeyFilter{{User: text}, {Project: text}, {Text: text}, {IDs: map[string]bool{text: true}}} {
			if got, _, err := s.Keys().List(t.Context(), filter, store.Page{}); err != nil || len(got) > 0 {
				t.Errorf("%+v: %+v, %v", filter, got, err)
			}
		}
		for _, filter := range []store.AuditFilter{{Actor: text}, {Record: text}, {Action: audit.Action(text)}, {Operation: text}} {
			if got, _, err := s.Audit().List(t.Context(), filter, store.Page{}); err != nil || len(got) > 0 {
				t.Errorf("%+v: %+v, %v", filter, got, err)
			}
		}
		for _, filter := range []store.RevocationFilter{{TokenID: text}, {SessionID: text}, {Subject: text}} {
			if got, _, err := s.Revocations().List(t.Context(), filter, store.Page{}); err != nil || len(got) > 0 {
				t.Errorf("%+v: %+v, %v", filter, got, err)
			}
		}
		cursor := store.Position{Made: time.Now(), ID: text}.Cursor()
		_, _, errKeys := s.Keys().List(t.Context(), store.KeyFilter{}, store.Page{After: cursor})
		_, _, errAudit := s.Audit().List(t.Context(), store.AuditFilter{}, store.Page{After: cursor})
		if !errors.Is(errKeys, store.ErrInvalid) || !errors.Is(errAudit, store.ErrInvalid) {
			t.Errorf("a cursor with %q: %v, %v", text, errKeys, errAudit)
		}
		if made, err := s.Keys().LatestKeys(t.Context(), []string{text}); err != nil || !made[text].IsZero() {
			t.Errorf("%q: %v, %v", text, made, err)
		}
	}
	for _, at := range []time.Time{time.Unix(1<<62, 0), time.Unix(-1<<62, 0), {}} {
		if _, _, err := s.Keys().List(t.Context(), store.KeyFilter{}, store.Page{After: store.Position{Made: at, ID: "k"}.Cursor()}); err != nil {
			t.Errorf("a cursor of %v: %v", at, err)
		}
	}
}

// TestHostileEntries: what clients send is in entries as it is in files.
func TestHostileEntries(t *testing.T) {
	s := openStore(t, server.Database(t))
	for _, text := range append(unstorable, hostileNames...) {
		e := &audit.Entry{Actor: text, ActorKey: text, Action: audit.Request, Record: text, Address: text, RequestID: text, Operation: text, Via: audit.ViaAPI, Outcome: audit.Refused, Reason: text}
		if err := s.Audit().Note(t.Context(), e); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		line, err := e.Line()
		if err != nil {
			t.Fatal(err)
		}
		want, err := audit.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := s.Audit().List(t.Context(), store.AuditFilter{Actor: want.Actor, Record: want.Record, Operation: want.Operation}, store.Page{NewestFirst: true, Limit: 1})
		if err != nil || len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
			t.Errorf("%q: %+v, %v\nwant %+v", text, got, err, want)
		}
	}
}

// TestLongRecord: a record with long texts, and 8 KiB that this version does not know.
func TestLongRecord(t *testing.T) {
	s := openStore(t, server.Database(t))
	key := aKey(t, strings.Repeat("n", 255))
	for i := range 64 {
		key.Paths = append(key.Paths, fmt.Sprintf("/%d/%s", i, strings.Repeat("p", 200)))
	}
	key.Description = strings.Repeat("\U0001F511", store.MaxDescription/4)
	key.Unknown = `"later":"` + strings.Repeat("x", 8<<10) + `"`
	put(t, s.KeyEditor(), &key, anEntry(audit.KeyCreate, key.ID))
	if got, err := s.Keys().Get(t.Context(), key.ID); err != nil || !reflect.DeepEqual(got, key) {
		t.Errorf("%v", err)
	}
}
