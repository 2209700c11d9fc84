// Package nowait marks the checks of callers that cannot wait: a thread that also
// serves other requests. What would wait for a network, a slow hash or a queue
// asks Allowed first, and returns Err instead.
package nowait

import (
	"context"
	"errors"
)

// Err is returned where an operation would have to wait.
var Err = errors.New("this would wait, for a server or for slow work, and the check is not allowed to")

type mark struct{}

// Context returns a context in which nothing may wait.
func Context(parent context.Context) context.Context { return context.WithValue(parent, mark{}, true) }

// Allowed returns nil if the caller may wait, and Err if not.
func Allowed(ctx context.Context) error {
	if ctx.Value(mark{}) != nil {
		return Err
	}
	return nil
}
