package keyindex

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePages asks Linux to back large memory with pages of two megabytes where it
// may (transparent_hugepage: madvise). A million keys are spread over some 40,000
// small pages, and each look at one of them then waits for the page tables first:
// a fifth of a check. It is advice; that it is not taken is not an error.
//
// The memory stays the Go runtime's own. What is unsafe is only to see words as
// bytes; nothing is read or written through them.
func hugePages[T any](memory []T) {
	const page = 2 << 20
	if len(memory) == 0 {
		return
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&memory[0])), uintptr(len(memory))*unsafe.Sizeof(memory[0]))
	skip := -uintptr(unsafe.Pointer(&memory[0])) % page
	if uintptr(len(bytes)) < skip+page {
		return
	}
	pages := bytes[skip : skip+(uintptr(len(bytes))-skip)/page*page]
	_ = unix.Madvise(pages, unix.MADV_HUGEPAGE)
}
