package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"keyward/store"
)

// Code says why a call was refused or failed. The codes are a closed set: they are
// the names of the problem types of the management API (docs/api.md).
type Code string

// The codes.
const (
	Forbidden        Code = "forbidden"
	BeyondCaller     Code = "beyond_caller"
	NotFound         Code = "not_found" // also of what the actor may not see
	Conflict         Code = "conflict"
	Ended            Code = "ended"
	Changed          Code = "changed"
	Invalid          Code = "invalid"
	StoreUnavailable Code = "store_unavailable"
	AuditUnavailable Code = "audit_unavailable"

	Reauthenticate Code = "reauthenticate" // the session's login is too long ago
	RateLimited    Code = "rate_limited"
	Overloaded     Code = "overloaded"
)

// Error is why a call was refused or failed. Its texts are for the caller, and have
// no secret and no value that the caller sent.
type Error struct {
	Code   Code
	Detail string
	Fields []FieldError // of Invalid
	Cause  error        // for the operator; nil: there is no more to say

	// Hidden is what the actor asked for and may not see: the error says that it is not
	// there, and the audit log that the actor was refused.
	Hidden bool
}

// IsRefusal reports whether the error is one for the audit log: the actor asked for
// what it may not do.
func (e *Error) IsRefusal() bool {
	return e.Hidden || e.Code == Forbidden || e.Code == BeyondCaller || e.Code == Invalid || e.Code == Reauthenticate
}

// Permitted reports whether the actor may ask for what failed: only the records, as
// they are now, stand against it.
func (e *Error) Permitted() bool {
	switch e.Code {
	case Conflict, Ended, Changed, Invalid:
		return true
	case NotFound:
		return !e.Hidden
	default:
		return errors.Is(e.Cause, ErrDryRun)
	}
}

// FieldError is what is wrong with one member of the caller's input.
type FieldError struct {
	Pointer string `json:"pointer"` // RFC 6901
	Detail  string `json:"detail"`
}

// Error implements error.
func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Detail
	for _, f := range e.Fields {
		text += fmt.Sprintf("; %s: %s", f.Pointer, f.Detail)
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is compare by code.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// AsError returns the Error in the chain of err; nil if there is none.
func AsError(err error) *Error {
	var e *Error
	_ = errors.As(err, &e)
	return e
}

// CodeOf is the code of an error of this package. An error that is not of it is
// StoreUnavailable.
func CodeOf(err error) Code {
	if e := AsError(err); e != nil {
		return e.Code
	}
	return StoreUnavailable
}

// Refuse returns an Error of the code.
func Refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Problems collects what is wrong with an input, so that all of it is said at once.
type Problems struct{ fields []FieldError }

// Add adds a problem of the member, which is a JSON pointer.
func (p *Problems) Add(pointer, format string, args ...any) {
	p.fields = append(p.fields, FieldError{pointer, fmt.Sprintf(format, args...)})
}

// Check adds err, if it is one.
func (p *Problems) Check(pointer string, err error) {
	if err != nil {
		p.Add(pointer, "%s", detailOf(err))
	}
}

// detailOf is the text of an error about one member.
func detailOf(err error) string {
	return strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": ")
}

// Err returns the problems as an Error, nil if there are none.
func (p *Problems) Err() error {
	if len(p.fields) == 0 {
		return nil
	}
	details := make([]string, len(p.fields))
	for i, f := range p.fields {
		details[i] = f.Detail
	}
	return &Error{
		Code: Invalid, Detail: "the request has members that cannot be accepted", Fields: p.fields,
		Cause: fmt.Errorf("%w: %s", store.ErrInvalid, strings.Join(details, "; ")),
	}
}

// Of makes an Error of what a store returned; one that is an Error stays, and nil is nil.
func Of(err error) error {
	switch {
	case err == nil || AsError(err) != nil:
		return err
	case errors.Is(err, store.ErrUncertain):
		return &Error{Code: StoreUnavailable, Detail: "the store did not answer whether the change was made: look, or send the request again with the same Idempotency-Key", Cause: err}
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: StoreUnavailable, Detail: "the change took too long", Cause: err}
	case errors.Is(err, store.ErrNotFound):
		return &Error{Code: NotFound, Detail: "there is no such record", Cause: err}
	case errors.Is(err, store.ErrChanged):
		return &Error{Code: Changed, Detail: "the record was changed meanwhile", Cause: err}
	case errors.Is(err, store.ErrRevoked):
		return &Error{Code: Ended, Detail: "the key has ended, and stays so", Cause: err}
	case errors.Is(err, store.ErrDuplicate):
		return &Error{Code: Conflict, Detail: "it is there already", Cause: err}
	case errors.Is(err, store.ErrUnsupported):
		return &Error{Code: Conflict, Detail: "a newer version of Keyward wrote the record; it can only be ended here", Cause: err}
	case errors.Is(err, store.ErrInvalid):
		return &Error{Code: Invalid, Detail: "the record cannot be written", Cause: err}
	case errors.Is(err, store.ErrAudit):
		return &Error{Code: AuditUnavailable, Detail: "the audit log cannot be written; what ends a credential goes on", Cause: err}
	default:
		return &Error{Code: StoreUnavailable, Detail: "the store cannot be read or written", Cause: err}
	}
}

// OfList is Of for a list: the cursor is what a caller can have wrong.
func OfList(err error) error {
	err = Of(err)
	if e := AsError(err); e != nil && e.Code == Invalid {
		e.Detail = "the request has members that cannot be accepted"
		e.Fields = []FieldError{{"/query/cursor", "is not a cursor of this list"}}
	}
	return err
}
