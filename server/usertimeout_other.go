//go:build !linux

package server

import "net"

// setUserTimeout has nothing to set: only Linux has the option.
func setUserTimeout(net.Conn) {}
