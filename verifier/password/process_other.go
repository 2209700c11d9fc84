//go:build !linux

package password

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }

// LowerPriority is known for Linux alone.
func LowerPriority() {}
