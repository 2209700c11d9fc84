package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/journal"
)

const (
	projectsHead = `{"keyward":"projects","versions":[2,2]}` + "\n"
	clientsHead  = `{"keyward":"clients","versions":[2,2],"hash":"sha256"}` + "\n"
)

// latestRecords is a sink and a generation that has the last record about each id.
type latestRecords[R any] struct {
	id    func(*R) string
	clone func(*R) R
	all   map[string]R
	fault error
}

func (s *latestRecords[R]) Begin() store.Generation[R] {
	return &latestRecords[R]{id: s.id, clone: s.clone, all: map[string]R{}}
}
func (s *latestRecords[R]) Commit(g store.Generation[R])                { s.all = g.(*latestRecords[R]).all }
func (s *latestRecords[R]) Undone(store.Generation[R], time.Time) error { return nil }
func (s *latestRecords[R]) Applied()                                    {}
func (s *latestRecords[R]) Fault(reason error)                          { s.fault = reason }
func (s *latestRecords[R]) Apply(r *R) (time.Time, error) {
	s.all[s.id(r)] = s.clone(r)
	return time.Time{}, nil
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func projectAt(name, members, deleted string, day int) string {
	return fmt.Sprintf(`{"name":%q,"members":[%s],"created":"2026-01-%02dT00:00:00Z",%s"at":"2026-01-%02dT00:00:00Z"}`+"\n", name, members, day, deleted, day)
}

func TestProjectFile(t *testing.T) {
	path := written(t, projectsHead+projectAt("web", `"alice"`, "", 1)+projectAt("gone", "", "", 2)+projectAt("app", `"bob"`, "", 3)+
		projectAt("web", `"alice","bob"`, "", 1)+projectAt("gone", "", `"deleted":"2026-01-04T00:00:00Z",`, 2))
	f := NewProjectFile(path, nil)
	ctx := context.Background()
	var _ store.Reader[store.Project, store.ProjectFilter] = f
	if r, err := f.Get(ctx, "web"); err != nil || !r.HasMember("bob") {
		t.Errorf("%+v, %v", r, err)
	}
	for _, name := range []string{"gone", "other", ""} {
		if r, err := f.Get(ctx, name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %+v, %v", name, r, err)
		}
	}
	for filter, want := range map[store.ProjectFilter]string{{}: "app web", {Member: "alice"}: "web", {Text: "ap"}: "app", {Text: "gone"}: ""} {
		all, next, err := f.List(ctx, filter, store.Page{NewestFirst: true})
		var names []string
		for _, r := range all {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, " "); err != nil || next != "" || got != want {
			t.Errorf("%+v: %q, %v", filter, got, err)
		}
	}
	if all, _, err := NewProjectFile(path+".none", nil).List(ctx, store.ProjectFilter{}, store.Page{}); err != nil || len(all) > 0 {
		t.Errorf("without a file: %+v, %v", all, err)
	}
	bad := NewProjectFile(written(t, projectsHead+projectAt("web", `"alice"`, "", 1)+"{}\n"), nil)
	if _, err := bad.Get(ctx, "web"); err != nil {
		t.Errorf("beside a bad line: %v", err)
	}
	if _, _, err := bad.List(ctx, store.ProjectFilter{}, store.Page{}); err == nil {
		t.Error("a list leaves out a bad line")
	}
}

func TestClientFile(t *testing.T) {
	const line = `{"id":"c_%s","name":"Shop","grants":["client_credentials"],"hash":"01%062d","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}` + "\n"
	path := written(t, clientsHead+fmt.Sprintf(line, "0123456789ab", 0)+fmt.Sprintf(line, "0123456789ac", 0)+fmt.Sprintf(line, "0123456789ab", 1))
	f := NewClientFile(path, apikey.NewHasher(authz.Secret{}), nil)
	var _ store.Reader[store.Client, store.ClientFilter] = f
	if r, err := f.Get(context.Background(), "c_0123456789ab"); err != nil || r.Hash[31] != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	all, _, err := f.List(context.Background(), store.ClientFilter{Grant: store.GrantClientCredentials}, store.Page{})
	if err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	other := NewClientFile(path, apikey.NewHasher(authz.NewSecret("a pepper of sixteen")), nil)
	if _, err := other.Get(context.Background(), "c_0123456789ab"); !errors.Is(err, ErrPepper) {
		t.Errorf("under another pepper: %v", err)
	}
	if _, err := NewProjectFile(path, nil).Get(context.Background(), "c_0123456789ab"); !errors.Is(err, journal.ErrWrongFile) {
		t.Errorf("as a projects file: %v", err)
	}
}

// TestFeedsOfProjectsAndClients: what is there is in force before Follow returns; a file
// of another kind is not read.
func TestFeedsOfProjectsAndClients(t *testing.T) {
	hasher := apikey.NewHasher(authz.Secret{})
	path := written(t, projectsHead+projectAt("web", `"alice"`, "", 1))
	projects := &latestRecords[store.Project]{id: func(r *store.Project) string { return r.Name }, clone: (*store.Project).Clone, all: map[string]store.Project{}}
	clients := &latestRecords[store.Client]{id: func(r *store.Client) string { return r.ID }, clone: (*store.Client).Clone, all: map[string]store.Client{}}
	follower, err := ProjectFeed{journal.FollowConfig{Path: path}}.Follow(projects)
	if err != nil {
		t.Fatal(err)
	}
	if web := projects.all["web"]; !web.HasMember("alice") {
		t.Errorf("%+v", projects)
	}
	if err := follower.Close(); err != nil {
		t.Error(err)
	}
	follower, err = ClientFeed{hasher, journal.FollowConfig{Path: path}}.Follow(clients)
	if err != nil {
		t.Fatal(err)
	}
	if err := follower.Close(); err != nil {
		t.Error(err)
	}
	if !errors.Is(clients.fault, journal.ErrWrongFile) || len(clients.all) > 0 {
		t.Errorf("of a projects file: %v, %+v", clients.fault, clients.all)
	}
	path = written(t, clientsHead+`{"id":"c_0123456789ab","public":true,"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`+"\n")
	follower, err = ClientFeed{hasher, journal.FollowConfig{Path: path}}.Follow(clients)
	if err != nil {
		t.Fatal(err)
	}
	if err := follower.Close(); err != nil || len(clients.all) != 1 {
		t.Errorf("%+v, %v", clients, err)
	}
}
