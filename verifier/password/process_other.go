//go:build !linux

package password

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }

// LowerPriority does nothing: it is implemented for Linux only.
func LowerPriority() {}
