package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyward/store/jsonline"
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

// HasMember reports whether the user may put the project on its own keys.
func (r *Project) HasMember(user string) bool {
	return user != "" && !r.Unsupported && r.Deleted.IsZero() && slices.Contains(r.Members, user)
}

// Check returns why no project can be made of the record, or changed to it, in words
// for the caller; the error is ErrInvalid.
func (r *Project) Check() error {
	err := errors.Join(checkName("project", r.Name), checkText("description", r.Description, jsonline.MaxText))
	if r.Name == "" {
		err = errors.Join(err, fmt.Errorf("%w: a project must have a name", ErrInvalid))
	}
	if len(r.Members) > jsonline.MaxList {
		err = errors.Join(err, fmt.Errorf("%w: more than %d members", ErrInvalid, jsonline.MaxList))
	}
	seen := map[string]bool{}
	for _, name := range r.Members {
		if memberErr := CheckUserName(name); memberErr != nil {
			return errors.Join(err, memberErr)
		}
		if seen[name] {
			return errors.Join(err, fmt.Errorf("%w: a member twice", ErrInvalid))
		}
		seen[name] = true
	}
	return err
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

// Version is the version of the record.
func (r *Project) Version() Version { return versionOf(r.encode()) }

// ProjectFilter selects projects that have all that is not zero.
type ProjectFilter struct {
	Member string
	Text   string // in the name or the description
}

// Match reports whether the filter selects the project.
func (f *ProjectFilter) Match(r *Project) bool {
	return (f.Member == "" || r.HasMember(f.Member)) &&
		(f.Text == "" || strings.Contains(r.Name, f.Text) || strings.Contains(r.Description, f.Text))
}

// projectKind is what a project's line has.
var projectKind = recordKind[Project]{
	fields: []recordField[Project]{
		textField("name", func(r *Project) *string { return &r.Name }),
		textField("description", func(r *Project) *string { return &r.Description }),
		textsField("members", func(r *Project) *[]string { return &r.Members }),
		timeField("created", func(r *Project) *time.Time { return &r.Created }),
		textField("created_by", func(r *Project) *string { return &r.CreatedBy }),
		timeField("deleted", func(r *Project) *time.Time { return &r.Deleted }),
		timeField("at", func(r *Project) *time.Time { return &r.At }),
		integerField("seq", func(r *Project) *int64 { return &r.Seq }),
	},
	ends: []string{"name", "deleted", "at", "seq"},
	complete: func(r *Project, _ func(string) bool) error {
		if r.Name == "" {
			return errProjectName
		}
		return errNoTime.Unless(!r.Created.IsZero() && !r.At.IsZero())
	},
	about: func(r *Project) bool { return r.Name != "" },
	keep:  func(r *Project, unknown string, unsupported bool) { r.Unknown, r.Unsupported = unknown, unsupported },
}

// ProjectDecoder decodes the lines of projects.
type ProjectDecoder struct{ recordDecoder[Project] }

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *ProjectDecoder) Decode(line []byte) (*Project, error) { return d.decode(&projectKind, line) }

// projectEnd has the members of projectKind.ends.
type projectEnd struct {
	Name    string    `json:"name"`
	Deleted time.Time `json:"deleted,omitzero"`
	At      time.Time `json:"at,omitzero"`
	Seq     int64     `json:"seq,omitempty"`
}

func (r *Project) encode() ([]byte, error) {
	var v any = r
	if r.Unsupported {
		v = &projectEnd{r.Name, r.Deleted, r.At, r.Seq}
	}
	return encodeWith(v, r.Unknown)
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
