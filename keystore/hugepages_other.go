//go:build !linux

package keystore

func hugePages[T any]([]T) {}
