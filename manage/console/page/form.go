package page

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"keyward/manage/fault"
)

// Form is what was typed into a form, and what is wrong with it.
type Form struct {
	Values url.Values
	Errors []FieldError // in the order of the fields
	// Once is the value of the hidden field by which the form is carried out once.
	Once string
	// ETag is the version of the record that the form was made from.
	ETag string
}

// FieldError is what is wrong with one field, in a sentence.
type FieldError struct{ ID, Text string }

// onceField is the field that takes the place of an Idempotency-Key.
const onceField = "idempotency_key"

// NewForm returns a form with the values.
func NewForm(values url.Values) *Form {
	if values == nil {
		values = url.Values{}
	}
	return &Form{Values: values, Once: rand.Text()}
}

// SentForm returns the form as it was sent, to be shown again.
func (r *Request) SentForm() *Form {
	f := NewForm(r.Sent)
	f.ETag = r.Sent.Get("etag")
	return f
}

// Value is what a field has.
func (f *Form) Value(name string) string { return f.Values.Get(name) }

// Is reports whether a field has the value, among others.
func (f *Form) Is(name, value string) bool { return slices.Contains(f.Values[name], value) }

// Error is what is wrong with a field; "" is nothing.
func (f *Form) Error(id string) string {
	for _, e := range f.Errors {
		if e.ID == id {
			return e.Text
		}
	}
	return ""
}

// Add adds what is wrong with a field.
func (f *Form) Add(id, text string) { f.Errors = append(f.Errors, FieldError{id, text}) }

// Attention is the heading of the summary of what is wrong.
func (f *Form) Attention() string {
	if len(f.Errors) == 1 {
		return "One field needs attention"
	}
	return Plural(len(f.Errors), "field") + " need attention"
}

// Fields are the fields of a form by the member of a record that each gives.
type Fields []FieldOf

// FieldOf is the field with the id for a member, such as paths, and what people call it.
type FieldOf struct{ Member, ID, Label string }

// Take reports whether the error says what is wrong with what was typed, or that it is
// more than the actor may give, and adds it to the form.
func (f *Form) Take(err error, fields Fields) bool {
	e := fault.AsError(err)
	if e == nil || e.Code != fault.Invalid && e.Code != fault.BeyondCaller && e.Code != fault.Conflict {
		return false
	}
	if len(e.Fields) == 0 {
		f.Add(fields[0].ID, sentence("", e.Detail))
		return true
	}
	for _, field := range e.Fields {
		member, inside, _ := strings.Cut(strings.TrimPrefix(field.Pointer, "/"), "/")
		of, label := fields[0].ID, ""
		for _, known := range fields {
			if known.Member == member {
				of, label = known.ID, known.Label
			}
		}
		if inside != "" {
			label += ":"
		}
		f.Add(of, sentence(label, field.Detail))
	}
	return true
}

// TakeMore is Take for what else is wrong with a form that is not accepted anyway: not
// for fields of which something was said, and nothing but what was typed.
func (f *Form) TakeMore(err error, fields Fields) {
	if e := fault.AsError(err); e == nil || e.Code != fault.Invalid {
		return
	}
	more := Form{}
	more.Take(err, fields)
	for _, e := range more.Errors {
		if f.Error(e.ID) == "" {
			f.Errors = append(f.Errors, e)
		}
	}
}

// Arrange puts the errors in the order of the fields.
func (f *Form) Arrange(fields Fields) {
	place := func(e FieldError) int {
		return slices.IndexFunc(fields, func(of FieldOf) bool { return strings.HasPrefix(e.ID, of.ID) })
	}
	slices.SortStableFunc(f.Errors, func(a, b FieldError) int { return place(a) - place(b) })
}

// sentence makes a sentence of a detail, which begins with a verb.
func sentence(label, detail string) string {
	text := strings.TrimSpace(label + " " + detail)
	if text == "" {
		return ""
	}
	return upperFirst(text[0]) + strings.TrimSuffix(text[1:], ".") + "."
}

// upperFirst is an ASCII letter in upper case; any other byte stays.
func upperFirst(c byte) string {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return string([]byte{c})
}

// FieldView is a field as the template "input" shows it.
type FieldView struct {
	Form                  *Form
	ID, Label, Hint, Type string
}

// newField returns the field with the id, whose name is the same.
func newField(f *Form, id, label, hint, kind string) FieldView {
	return FieldView{f, id, label, hint, kind}
}

// Value is what the field has; a password is never shown again.
func (v FieldView) Value() string {
	if v.Type == "password" || strings.HasPrefix(v.Type, "new-") {
		return ""
	}
	return v.Form.Value(v.ID)
}

// Error is what is wrong with it.
func (v FieldView) Error() string { return v.Form.Error(v.ID) }

// statusOf is the status of a form that was not accepted.
func statusOf(err error) int {
	switch e := fault.AsError(err); {
	case e == nil:
		return http.StatusUnprocessableEntity
	case e.Code == fault.BeyondCaller:
		return http.StatusForbidden
	case e.Code == fault.Conflict:
		return http.StatusConflict
	case e.Code == fault.Changed:
		return http.StatusPreconditionFailed
	default:
		return http.StatusUnprocessableEntity
	}
}

// Again returns the head of the page of a form that was not accepted, because of err.
func (h Head) Again(err error) Head {
	h.Status, h.Error = statusOf(err), true
	return h
}

var errNoKey = errors.New("console: the form has no idempotency_key")
