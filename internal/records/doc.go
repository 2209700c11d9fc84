// Package records changes the records of a store in tests and measurements, through
// manage.Service like the commands, as an operator who may do everything.
package records

import (
	"context"
	"crypto/rand"
	"errors"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/passwordhash"
)

var operator = access.CLI("test", "test")

// causeOf is the store's error below one of the Service.
func causeOf(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}

func hashPassword(_ context.Context, password authz.Secret) (string, error) {
	return passwordhash.Hash(rand.Reader, password)
}
