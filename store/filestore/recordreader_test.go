package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/store"
)

const projectsHead = `{"keyward":"projects","versions":[2,2]}` + "\n"

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
