//go:build !linux

package server

import "net"

// setUserTimeout does nothing: only Linux has the option.
func setUserTimeout(net.Conn) {}
