//go:build !linux

package main

import "os"

// selfExecutable returns the file that this process was started from.
func selfExecutable() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}
