package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"keyward/store/jsonline"
)

const projectLine = `{"name":"web","description":"The site","members":["alice","bob"],"created":"2026-05-01T12:00:00Z","created_by":"alice","deleted":"2026-06-01T12:00:00Z","at":"2026-06-01T12:00:00Z","seq":7}`

var newerProjectLines = map[string]string{
	"a member":              `{"name":"web","budget":{"eur":5},"members":["alice"],"created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
	"must":                  `{"name":"web","must":["cidrs"],"cidrs":[],"members":["alice"],"created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z","seq":3}`,
	"must and another form": `{"name":"web","must":["cidrs"],"members":"all","created":1}`,
}

func TestProjectLines(t *testing.T) {
	want := Project{
		Name: "web", Description: "The site", Members: []string{"alice", "bob"}, Created: may, CreatedBy: "alice", Deleted: june, At: june, Seq: 7,
	}
	var d ProjectDecoder
	got, err := d.Decode([]byte(projectLine))
	if err != nil || !reflect.DeepEqual(got.Clone(), want) {
		t.Errorf("read as %+v, %v", got, err)
	}
	if line, err := want.Line(); err != nil || string(line) != projectLine+"\n" {
		t.Errorf("written as %s, %v", line, err)
	}
	for name, line := range map[string]string{
		"no name":      `{"created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
		"empty name":   `{"name":"","created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
		"no created":   `{"name":"web","at":"2026-05-01T12:00:00Z"}`,
		"no at":        `{"name":"web","created":"2026-05-01T12:00:00Z"}`,
		"a list":       `{"name":"web","members":"alice","created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
		"twice":        `{"name":"web","name":"web","created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
		"other case":   `{"Name":"web","created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`,
		"must, unread": `{"must":["x"],"name":5}`,
		"must, no one": `{"must":["x"]}`,
	} {
		var bad jsonline.Error
		if _, err := d.Decode([]byte(line)); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNewerProjectLines: what must be understood ends who may use the project, and
// nothing that was written is lost.
func TestNewerProjectLines(t *testing.T) {
	for name, line := range newerProjectLines {
		var d ProjectDecoder
		r, err := d.Decode([]byte(line))
		if err != nil || r.Name != "web" || r.Unsupported != strings.HasPrefix(name, "must") || r.HasMember(&UserRecord{Name: "alice", Created: may}) == r.Unsupported {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		before := r.Clone()
		before.Deleted = june
		again, err := before.Line()
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, again, before.Unknown, before.Unsupported, projectKind.BitOf)
		if back, err := d.Decode(again); err != nil || back.Unknown != before.Unknown || back.Unsupported != before.Unsupported || !back.Deleted.Equal(june) {
			t.Errorf("%s: %+v, %v", name, back, err)
		}
	}
}

// TestProjectMembers is the policy: which user may put which project on its keys.
func TestProjectMembers(t *testing.T) {
	web := Project{Name: "web", Members: []string{"alice"}, At: may}
	deleted, unsupported, nameless := web, web, web
	deleted.Deleted, unsupported.Unsupported, nameless.Members = june, true, []string{""}
	user := func(name string, created time.Time) UserRecord { return UserRecord{Name: name, Created: created} }
	for name, c := range map[string]struct {
		project Project
		user    UserRecord
		want    bool
	}{
		"a member":                              {web, user("alice", may), true},
		"another user":                          {web, user("bob", may), false},
		"a later user of the name":              {web, user("alice", may.Add(1)), false},
		"no user":                               {nameless, user("", may), false},
		"a member of a deleted project":         {deleted, user("alice", may), false},
		"a member of one that is not supported": {unsupported, user("alice", may), false},
		"a member of none":                      {Project{}, user("alice", time.Time{}), false},
	} {
		if got := c.project.HasMember(&c.user); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCheckProject(t *testing.T) {
	many := make([]string, jsonline.MaxList+1)
	for i := range many {
		many[i] = fmt.Sprint("u", i)
	}
	for name, err := range map[string]error{
		"no name":                CheckProjectName(""),
		"a space at the end":     CheckProjectName("web "),
		"a hidden character":     CheckProjectName("we\u200bb"),
		"a hidden description":   CheckDescription("a\u202eb"),
		"two lines":              CheckDescription("a\nb"),
		"a long description":     CheckDescription(strings.Repeat("x", MaxDescription+1)),
		"a member without name":  CheckMembers([]string{""}),
		"a key as member":        CheckMembers([]string{"k_0123456789ab"}),
		"a member twice":         CheckMembers([]string{"alice", "bob", "alice"}),
		"more than 1000 members": CheckMembers(many),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(CheckProjectName("web"), CheckDescription("Größe, 2"), CheckMembers(many[:jsonline.MaxList])); err != nil {
		t.Error(err)
	}
}

func TestProjectFilter(t *testing.T) {
	r := Project{Name: "web", Description: "The site", Members: []string{"alice"}}
	for f, want := range map[ProjectFilter]bool{
		{}: true, {Member: "alice"}: true, {Member: "bob"}: false, {Text: "we"}: true, {Text: "site"}: false, {Text: "alice"}: false, {Member: "alice", Text: "x"}: false,
	} {
		if f.Match(&r) != want {
			t.Errorf("%+v", f)
		}
	}
}

// FuzzProjectLine: no line makes the reader panic, and what it reads can be written
// and is then read the same.
func FuzzProjectLine(f *testing.F) {
	f.Add([]byte(projectLine))
	for _, line := range newerProjectLines {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d, second ProjectDecoder
		r, err := d.Decode(line)
		if err != nil {
			return
		}
		wantUnknown(t, line, r.Unknown, r.Unsupported, projectKind.BitOf)
		again, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := second.Decode(again); err != nil || fmt.Sprint(*back) != fmt.Sprint(*r) {
			t.Fatalf("%+v\n%+v %v", r, back, err)
		}
	})
}
