package keystore

import "hash/crc32"

// slicing has, for each of eight places, what a byte there does to a CRC-32
// eight bytes on ("slicing by 8", as hash/crc32 has it). The package's own
// functions take bytes alone, and copying a key to have them costs an allocation a check.
var slicing = func() (tables [8]crc32.Table) {
	tables[0] = *crc32.IEEETable
	for place := 1; place < len(tables); place++ {
		for i, crc := range tables[place-1] {
			tables[place][i] = tables[0][crc&0xff] ^ crc>>8
		}
	}
	return tables
}()

// crc32IEEE is crc32.ChecksumIEEE of a string.
func crc32IEEE(s string) uint32 {
	crc := ^uint32(0)
	for ; len(s) >= 8; s = s[8:] {
		crc ^= uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		crc = slicing[7][crc&0xff] ^ slicing[6][crc>>8&0xff] ^ slicing[5][crc>>16&0xff] ^ slicing[4][crc>>24] ^
			slicing[3][s[4]] ^ slicing[2][s[5]] ^ slicing[1][s[6]] ^ slicing[0][s[7]]
	}
	for i := range len(s) {
		crc = slicing[0][byte(crc)^s[i]] ^ crc>>8
	}
	return ^crc
}
