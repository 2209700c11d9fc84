package command

import (
	"errors"
	"fmt"
)

// The exit codes.
const (
	Done      = 0 // or allowed
	Refused   = 1 // or not found, or failed
	BadUsage  = 2
	Undecided = 3 // check could not decide
)

// ExitCode is the exit code of an outcome that is already printed.
type ExitCode int

// Error implements error.
func (c ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is an error in the arguments of a command.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// UsageError returns err as one in the arguments of a command.
func UsageError(err error) error { return usageError{err} }

// Usagef returns an error in the arguments of a command.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// codeOf prints an error and returns its exit code.
func (e *Env) codeOf(err error) int {
	var code ExitCode
	var usage usageError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		e.Note("%v", err)
		return BadUsage
	default:
		e.Note("%v", err)
		return Refused
	}
}
