package server

import "encoding/binary"

// Frame types and flags of HTTP/2 that matter here (RFC 9113 section 6).
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameRSTStream    = 0x3
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagEndHeaders = 0x4

	frameHeaderSize = 9
	prefaceSize     = 24 // of the client's connection preface, section 3.4
)

// frame is the header of an HTTP/2 frame.
type frame struct {
	length      int
	kind, flags byte
	stream      uint32
}

func (f *frame) endsStream() bool { return f.flags&flagEndStream != 0 }

// frameScanner finds the frames in what a connection reads or writes. A read or
// write may end anywhere in a frame.
type frameScanner struct {
	skip    int // bytes to ignore: the rest of a frame, or the preface
	partial [frameHeaderSize]byte
	have    int  // bytes of partial
	inBlock bool // the header fields continue in the next frame
}

// toBoundary returns how many bytes may be read without going beyond the next
// place where any frame may stand; 0 if that place is here.
func (s *frameScanner) toBoundary() int {
	switch {
	case s.skip > 0:
		return s.skip
	case s.have > 0 || s.inBlock:
		return frameHeaderSize - s.have
	default:
		return 0
	}
}

// scan calls found for each header that ends in p.
func (s *frameScanner) scan(p []byte, found func(frame)) {
	for {
		n := min(s.skip, len(p))
		s.skip -= n
		p = p[n:]
		if len(p) == 0 {
			return
		}
		header := p
		if s.have > 0 || len(p) < frameHeaderSize {
			n = copy(s.partial[s.have:], p)
			if s.have += n; s.have < frameHeaderSize {
				return
			}
			header, s.have = s.partial[:], 0
		} else {
			n = frameHeaderSize
		}
		p = p[n:]
		f := frame{
			length: int(header[0])<<16 | int(header[1])<<8 | int(header[2]),
			kind:   header[3], flags: header[4],
			stream: binary.BigEndian.Uint32(header[5:]) &^ (1 << 31),
		}
		s.skip = f.length
		if f.kind == frameHeaders || f.kind == frameContinuation {
			s.inBlock = f.flags&flagEndHeaders == 0
		}
		found(f)
	}
}
