package extauthz

import "errors"

// errWire is the answer to a message that is not well formed, or that holds
// what no proxy sends: groups, a field twice that can stand only once.
var errWire = errors.New("malformed CheckRequest")

// Wire types of the protobuf encoding.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// eachField calls visit for every length-delimited field of a protobuf message
// and steps over the others. It works on a string so that what visit is
// given can be kept without a copy.
func eachField(message string, visit func(number uint64, value string) error) error {
	for message != "" {
		tag, n := varint(message)
		if n == 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return errWire
		}
		message = message[n:]
		switch tag & 7 {
		case wireBytes:
			size, n := varint(message)
			if n == 0 || size > uint64(len(message)-n) {
				return errWire
			}
			if err := visit(tag>>3, message[n:n+int(size)]); err != nil {
				return err
			}
			message = message[n+int(size):]
		case wireVarint:
			_, n := varint(message)
			if n == 0 {
				return errWire
			}
			message = message[n:]
		case wireFixed64:
			if len(message) < 8 {
				return errWire
			}
			message = message[8:]
		case wireFixed32:
			if len(message) < 4 {
				return errWire
			}
			message = message[4:]
		default:
			return errWire
		}
	}
	return nil
}

// varint returns the number that s starts with and its length, 0 if there is none.
func varint(s string) (uint64, int) {
	var v uint64
	for i := 0; i < len(s) && i < 10; i++ {
		b := s[i]
		if i == 9 && b > 1 {
			return 0, 0
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
