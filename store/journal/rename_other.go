//go:build unix && !linux

package journal

import "errors"

func (osFS) RenameNew(from, to string) error { return linkNew(from, to) }

func (osFS) Exchange(string, string) error { return errors.ErrUnsupported }
