package apikey

import (
	"hash/crc32"
	"unsafe"
)

const checksumLen = 6

// checksum returns the CRC-32 (IEEE) of text in base 62, padded with '0'.
func checksum(text string) [checksumLen]byte {
	crc := crc32IEEE(text)
	var out [checksumLen]byte
	for i := range out {
		out[len(out)-1-i] = base62[crc%62]
		crc /= 62
	}
	return out
}

// crc32IEEE is crc32.ChecksumIEEE of a string, without the allocation that a
// conversion to bytes would cost in each check. ChecksumIEEE does not write to
// its argument.
func crc32IEEE(s string) uint32 {
	return crc32.ChecksumIEEE(unsafe.Slice(unsafe.StringData(s), len(s)))
}
