package manage

import "keyward/manage/fault"

// The errors of a Service are those of package fault.
type (
	Code       = fault.Code
	Error      = fault.Error
	FieldError = fault.FieldError
	LineErrors = fault.LineErrors
)

// The codes.
const (
	Forbidden        = fault.Forbidden
	BeyondCaller     = fault.BeyondCaller
	NotFound         = fault.NotFound
	Conflict         = fault.Conflict
	Ended            = fault.Ended
	Changed          = fault.Changed
	Invalid          = fault.Invalid
	StoreUnavailable = fault.StoreUnavailable
	AuditUnavailable = fault.AuditUnavailable
	Reauthenticate   = fault.Reauthenticate
	RateLimited      = fault.RateLimited
	Overloaded       = fault.Overloaded
)

// AsError returns the Error in the chain of err; nil if there is none.
func AsError(err error) *Error { return fault.AsError(err) }

// CodeOf is the code of an error of a Service.
func CodeOf(err error) Code { return fault.CodeOf(err) }

// InvalidMembers returns the Error of members that a caller sent and that cannot be
// accepted.
func InvalidMembers(fields ...FieldError) error { return fault.InvalidMembers(fields...) }

func refuse(code Code, format string, args ...any) *Error { return fault.Refuse(code, format, args...) }

func asError(err error) error { return fault.Of(err) }

func asListError(err error) error { return fault.OfList(err) }

// problems are fault.Problems.
type problems struct{ fault.Problems }

func (p *problems) add(pointer, format string, args ...any) { p.Add(pointer, format, args...) }

func (p *problems) check(pointer string, err error) { p.Check(pointer, err) }

func (p *problems) err() error { return p.Err() }
