//go:build unix && !linux

package filesystem

import (
	"errors"
	"os"
)

func guard(*os.File) error { return nil }

func (osFS) RenameNew(from, to string) error { return linkNew(from, to) }

func (osFS) Exchange(string, string) error { return errors.ErrUnsupported }
