package fault

import (
	"context"
	"errors"
)

// ErrDryRun is the cause of the Error of a call that may be made, and was not.
var ErrDryRun = errors.New("dry run: nothing was changed")

type dryRunKey struct{}

// DryRun returns the context of calls that are authorized and checked as they would be
// now, and change nothing. An answer that was given before is given again only to an
// actor who may ask for it.
func DryRun(ctx context.Context) context.Context { return context.WithValue(ctx, dryRunKey{}, true) }

// IfDryRun returns why a change that may be made is not: ErrDryRun, or nil.
func IfDryRun(ctx context.Context) error {
	if ctx.Value(dryRunKey{}) != nil {
		return ErrDryRun
	}
	return nil
}
