package keyindex

import (
	"encoding/binary"
	"net/netip"

	"keyward/authz"
)

// Networks are the networks from which a key may be used, as its row has them. The
// zero value contains no address.
type Networks struct {
	bytes string // of each network the length of its address, the bits of its prefix, and the address
}

// anyNetwork stands for AnyNetwork; it is shorter than a network.
const anyNetwork = "*"

// AnyNetwork contains every address, those that are not known included.
func AnyNetwork() Networks { return Networks{anyNetwork} }

// Contains reports whether the address is known and in one of the networks, or the
// networks are [AnyNetwork].
func (n Networks) Contains(a authz.Address) bool {
	if n.IsAny() {
		return true
	}
	for rest := n.bytes; len(rest) > 0; {
		size, bits := int(rest[0]), int(rest[1])
		if a.In(netip.PrefixFrom(addressOf(rest[2:2+size]), bits)) {
			return true
		}
		rest = rest[2+size:]
	}
	return false
}

// IsAny reports whether the networks are [AnyNetwork].
func (n Networks) IsAny() bool { return n.bytes == anyNetwork }

// addressOf returns the address of these bytes, of which there are 4 or 16.
func addressOf(bytes string) netip.Addr {
	var b [16]byte
	if copy(b[:], bytes) == 4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

// appendNetworks appends networks with their length in bytes.
func appendNetworks(to []byte, networks []netip.Prefix) []byte {
	start := len(to)
	to = binary.LittleEndian.AppendUint16(to, 0)
	for _, n := range networks {
		address := n.Addr().AsSlice()
		to = append(append(to, byte(len(address)), byte(n.Bits())), address...)
	}
	binary.LittleEndian.PutUint16(to[start:], uint16(len(to)-start-2))
	return to
}
