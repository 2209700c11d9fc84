package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"keyward/manage/fault"
	"keyward/store"
)

const (
	problemTypes = "https://keyward.dev/errors/"
	// maxFields bounds how many members of a request an error names.
	maxFields = 10
)

// problem is the body of an error of the API (RFC 9457).
type problem struct {
	Type       string             `json:"type"`
	Title      string             `json:"title"`
	Detail     string             `json:"detail"`
	Errors     []fault.FieldError `json:"errors"`
	DecisionID string             `json:"decision_id"`
}

// nameOf returns the name of the problem; "" is not one of the API's.
func nameOf(a answer) string {
	var p problem
	if json.Unmarshal(a.body, &p) != nil {
		return ""
	}
	name, _ := strings.CutPrefix(p.Type, problemTypes)
	return name
}

// problem returns the error that the answer is.
func (c *Client) problem(a answer) error {
	var p problem
	_ = json.Unmarshal(a.body, &p) // a proxy in between answers as it likes
	name, ours := strings.CutPrefix(p.Type, problemTypes)
	if !ours {
		if a.status < 400 {
			return fmt.Errorf("%s answers %d: a redirect is not followed, and is not an answer of Keyward", c.Server(), a.status)
		}
		return fmt.Errorf("%s answers %d %s, which is not a problem of Keyward's", c.Server(), a.status, http.StatusText(a.status))
	}
	e := &fault.Error{Code: fault.Code(c.shown(name)), Fields: p.Errors}
	e.Detail = fmt.Sprintf("%s answers %d %s", c.Server(), a.status, e.Code)
	if p.Detail != "" {
		e.Detail += ": " + c.shown(p.Detail)
	}
	if p.DecisionID != "" {
		e.Detail += fmt.Sprintf(" (decision %s)", c.shown(p.DecisionID))
	}
	e.Cause = c.causeOf(e)
	return e
}

// causeOf returns the error that a file gives in place of the problem, nil if none
// does.
func (c *Client) causeOf(e *fault.Error) error {
	switch e.Code {
	case fault.NotFound:
		return fmt.Errorf("%w: %s", store.ErrNotFound, e.Detail)
	case fault.Ended:
		return store.ErrRevoked
	case fault.Changed:
		return store.ErrChanged
	case fault.Invalid:
		return fmt.Errorf("%w: %s", store.ErrInvalid, c.fieldsOf(e))
	default:
		return nil
	}
}

// fieldsOf returns what is wrong with each member, as it may be printed.
func (c *Client) fieldsOf(e *fault.Error) string {
	if len(e.Fields) == 0 {
		return e.Detail
	}
	var details []string
	for i, f := range e.Fields {
		if i == maxFields {
			details = append(details, fmt.Sprintf("and %d more", len(e.Fields)-i))
			break
		}
		text := c.shown(f.Detail)
		if member := strings.ReplaceAll(strings.TrimPrefix(f.Pointer, "/"), "/", " "); member != "" {
			text = c.shown(member) + ": " + text
		}
		details = append(details, text)
	}
	return strings.Join(details, "; ")
}

// ErrSecretLost is that a secret was made, and that the answer with it did not arrive.
// It cannot be shown again: the key must be rotated.
var ErrSecretLost = errors.New("the answer with the new secret was lost")
