//go:build !linux

package server

import "syscall"

// setUserTimeout has nothing to set: only Linux has the option.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
