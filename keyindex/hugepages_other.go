//go:build !linux

package keyindex

func hugePages[T any]([]T) {}
