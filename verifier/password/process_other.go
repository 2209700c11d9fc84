//go:build !linux

package password

import (
	"os"
	"syscall"
)

func childAttributes() *syscall.SysProcAttr { return nil }

// LowerPriority is known for Linux alone.
func LowerPriority() {}

// selfExecutable is the file this process was started from.
func selfExecutable() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}
