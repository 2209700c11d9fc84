package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"keyward/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrUnavailable is a database that does not answer or refuses: nothing was changed.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrUncertain is store.ErrUncertain: a commit was not answered, and the database could
	// not be asked about it.
	ErrUncertain = store.ErrUncertain
	// ErrSchema is a database whose schema is missing, or one that this program cannot
	// serve.
	ErrSchema = errors.New("the database's schema cannot be served by this program")
	// ErrPepper is a database whose secrets were hashed with another pepper.
	ErrPepper = errors.New("the database's secrets were hashed with another pepper")
)

// SQLSTATEs: of a table that is not there, and of what a role is not granted.
const (
	undefinedTable        = "42P01"
	insufficientPrivilege = "42501"
)

// IsDenied reports whether the database refused what the role is not granted.
func IsDenied(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == insufficientPrivilege
}

// IsMissingTable reports whether the database lacks a table, as a schema does that was not
// migrated yet.
func IsMissingTable(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == undefinedTable
}

// Failed returns the error of a statement as one of this package. One of a caller that
// has given up stays what it is. A nil error stays nil.
func Failed(ctx context.Context, err error) error {
	switch {
	case err == nil, IsOwn(err), errors.Is(err, pgx.ErrNoRows):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// IsOwn reports whether the error is one of this package.
func IsOwn(err error) bool {
	for _, own := range []error{ErrUnavailable, store.ErrUncertain, ErrSchema, ErrPepper, ErrOpenSchema} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// MayRetry reports whether a transaction that failed before its commit may succeed when
// it is repeated: the connection was lost, the server restarts or has another role now,
// or the transaction was in the way of another one.
func MayRetry(err error) bool {
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, store.ErrUncertain), errors.Is(err, ErrSchema), errors.Is(err, ErrPepper):
		return false
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return false
	case !errors.As(err, &refused):
		return errors.Is(err, ErrUnavailable)
	}
	switch refused.Code {
	case "57P01", "57P02", "57P03", "25006", "53300":
		return true
	default:
		return strings.HasPrefix(refused.Code, "40") || strings.HasPrefix(refused.Code, "08")
	}
}
