package store

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"keyward/store/jsonline"
	"keyward/store/recordline"
)

const errProjectName jsonline.Error = "no name of a project, or an invalid one"

// Project is all that a store says about one project. Keys name the project that they
// are for; a member may put it on its own keys.
type Project struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Members     []string  `json:"members,omitempty"` // names of users
	Created     time.Time `json:"created"`
	CreatedBy   string    `json:"created_by,omitempty"` // the user who made it; "" if a command did
	Deleted     time.Time `json:"deleted,omitzero"`

	// At is when the record was last changed.
	At time.Time `json:"at"`

	// Seq, Unknown and Unsupported are as in KeyRecord: a project whose record is not
	// supported has no members.
	Seq         int64  `json:"seq,omitempty"`
	Unknown     string `json:"-"`
	Unsupported bool   `json:"-"`
}

// HasMember reports whether the user may put the project on its own keys. A user who
// was made after the record's last change is not the one that the record names: it has
// the name of one who was deleted.
func (r *Project) HasMember(u *UserRecord) bool {
	return u.Name != "" && !u.Created.After(r.At) && !r.Unsupported && r.Deleted.IsZero() && slices.Contains(r.Members, u.Name)
}

// Delete makes the record that of a deleted project. What the record does not say any
// more stays out of the file.
func (r *Project) Delete(now time.Time) {
	*r = Project{
		Name: r.Name, Created: r.Created, CreatedBy: r.CreatedBy, Deleted: now, At: now,
		Seq: r.Seq, Unknown: r.Unknown, Unsupported: r.Unsupported,
	}
}

// CheckProjectName returns why no project can have the name: ErrInvalid.
func CheckProjectName(name string) error {
	if name == "" {
		return fmt.Errorf("%w: a project must have a name", ErrInvalid)
	}
	return checkName("project's name", name)
}

// CheckDescription returns why no record can have the description: ErrInvalid.
func CheckDescription(text string) error { return checkText("description", text, MaxDescription) }

// CheckMembers returns why no project can have the members; the error is ErrInvalid.
func CheckMembers(members []string) error {
	if len(members) > jsonline.MaxList {
		return fmt.Errorf("%w: more than %d members", ErrInvalid, jsonline.MaxList)
	}
	seen := make(map[string]bool, len(members))
	for _, name := range members {
		if err := CheckUserName(name); err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("%w: a member twice", ErrInvalid)
		}
		seen[name] = true
	}
	return nil
}

// Clone returns a record that shares no memory with r.
func (r *Project) Clone() Project {
	c := *r
	for _, text := range []*string{&c.Name, &c.Description, &c.CreatedBy, &c.Unknown} {
		*text = strings.Clone(*text)
	}
	c.Members = cloneTexts(r.Members)
	return c
}

// Version returns the version of the record.
func (r *Project) Version() Version { return versionOf(r.encode()) }

// ProjectFilter selects projects that have all that is not zero.
type ProjectFilter struct {
	Member string
	Text   string // in the name
}

// Match reports whether the filter selects the project.
func (f *ProjectFilter) Match(r *Project) bool {
	return (f.Member == "" || slices.Contains(r.Members, f.Member)) && strings.Contains(r.Name, f.Text)
}

// projectKind is what a project's line has.
var projectKind = recordline.Kind[Project]{
	Fields: []recordline.Field[Project]{
		recordline.Text("name", func(r *Project) *string { return &r.Name }),
		recordline.Value("description", func(r *Project) *string { return &r.Description }, readDescription),
		recordline.Texts("members", func(r *Project) *[]string { return &r.Members }),
		recordline.Time("created", func(r *Project) *time.Time { return &r.Created }),
		recordline.Text("created_by", func(r *Project) *string { return &r.CreatedBy }),
		recordline.Time("deleted", func(r *Project) *time.Time { return &r.Deleted }),
		recordline.Time("at", func(r *Project) *time.Time { return &r.At }),
		recordline.Integer("seq", func(r *Project) *int64 { return &r.Seq }),
	},
	Ends: []string{"name", "deleted", "at", "seq"},
	Complete: func(r *Project, _ func(string) bool) error {
		if r.Name == "" {
			return errProjectName
		}
		return errNoTime.Unless(!r.Created.IsZero() && !r.At.IsZero())
	},
	About: func(r *Project) bool { return r.Name != "" },
	Keep:  func(r *Project, unknown string, unsupported bool) { r.Unknown, r.Unsupported = unknown, unsupported },
}

// ProjectDecoder decodes the lines of projects.
type ProjectDecoder struct{ lines recordline.Decoder[Project] }

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *ProjectDecoder) Decode(line []byte) (*Project, error) {
	return d.lines.Decode(&projectKind, line)
}

// projectEnd has the members of projectKind.Ends.
type projectEnd struct {
	Name    string    `json:"name"`
	Deleted time.Time `json:"deleted,omitzero"`
	At      time.Time `json:"at,omitzero"`
	Seq     int64     `json:"seq,omitempty"`
}

func readDescription(s *jsonline.Scanner, into *string) error {
	var text []byte
	err := s.ReadTextWithin(&text, MaxDescription)
	*into = string(text)
	return err
}

func (r *Project) encode() ([]byte, error) {
	var v any = r
	if r.Unsupported {
		v = &projectEnd{r.Name, r.Deleted, r.At, r.Seq}
	}
	return recordline.Encode(v, r.Unknown)
}

// Line encodes the record as a line, as KeyRecord.Line does.
func (r *Project) Line() ([]byte, error) {
	line, err := r.encode()
	if err != nil {
		return nil, err
	}
	var d ProjectDecoder
	if _, err := d.Decode(line); err != nil {
		return nil, err
	}
	return line, nil
}
