package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
)

const (
	projectsHead = `{"keyward":"projects","versions":[2,2]}` + "\n"
	clientsHead  = `{"keyward":"clients","versions":[2,2],"hash":"sha256"}` + "\n"
	projectText  = `{"name":%q,"members":["alice"],"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}` + "\n"
	clientText   = `{"id":"c_0123456789ab","grants":["client_credentials"],"hash":"01%062d","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}` + "\n"
)

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestProjectFile: a line that cannot be read is an error of a list, and does not stand
// in the way of a change.
func TestProjectFile(t *testing.T) {
	good := written(t, projectsHead+fmt.Sprintf(projectText, "web"))
	bad := written(t, projectsHead+fmt.Sprintf(projectText, "web")+"{}\n")
	for path, listed := range map[string]bool{good: true, bad: false, good + ".none": true} {
		f := NewProjectFile(ProjectFileConfig{Path: path})
		_, err := f.Get(t.Context(), "web")
		if there := path != good+".none"; (err == nil) != there || err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", path, err)
		}
		if _, _, err := f.List(t.Context(), store.ProjectFilter{}, store.Page{}); (err == nil) != listed {
			t.Errorf("a list of %s: %v", path, err)
		}
	}
}

// TestFilesOfOtherKinds: a file that is not of the kind, or whose secrets were hashed
// under another pepper, is not read.
func TestFilesOfOtherKinds(t *testing.T) {
	projects, clients := written(t, projectsHead), written(t, clientsHead+fmt.Sprintf(clientText, 0))
	plain, peppered := apikey.NewHasher(authz.Secret{}), apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))
	client := func(path string, hasher *apikey.Hasher) error {
		_, err := NewClientFile(ClientFileConfig{Path: path, Hasher: hasher}).Get(t.Context(), "c_0123456789ab")
		return err
	}
	if err := client(clients, plain); err != nil {
		t.Error(err)
	}
	if err := client(clients, peppered); !errors.Is(err, fileheader.ErrPepper) {
		t.Errorf("under another pepper: %v", err)
	}
	if err := client(projects, plain); !errors.Is(err, journal.ErrWrongFile) {
		t.Errorf("clients of a projects file: %v", err)
	}
	if _, err := NewProjectFile(ProjectFileConfig{Path: clients}).Get(t.Context(), "web"); !errors.Is(err, journal.ErrWrongFile) {
		t.Errorf("projects of a clients file: %v", err)
	}
}
