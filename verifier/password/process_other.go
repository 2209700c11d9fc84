//go:build !linux

package password

import (
	"os"
	"syscall"
)

func childAttributes() *syscall.SysProcAttr { return nil }

// LowerPriority is known for Linux alone.
func LowerPriority() {}

// ownProgram is the file this process was started from.
func ownProgram() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}
