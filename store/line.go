package store

import (
	"bytes"
	"encoding/json"
	"unsafe"

	"keyward/store/jsonline"
)

// EncodeLine encodes v as one line, without the escapes meant for HTML.
func EncodeLine(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// batchRoom is what a batch may add to a line, in bytes.
const batchRoom = 64

// encodeWith is EncodeLine with the unknown members of a record.
func encodeWith(v any, unknown string) ([]byte, error) {
	line, err := EncodeLine(v)
	if err != nil {
		return nil, err
	}
	line = jsonline.Append(line, unknown)
	return line, jsonline.ErrLong.Unless(len(line)+batchRoom <= jsonline.MaxLine)
}

// stringOf returns the text as a string that shares its memory, and is valid
// until that changes. A million keys have six million texts, of which the
// index keeps no string: to copy them would be what reading the file costs.
func stringOf(text []byte) string {
	return unsafe.String(unsafe.SliceData(text), len(text))
}
