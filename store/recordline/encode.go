package recordline

import (
	"bytes"
	"encoding/json"

	"keyward/store/jsonline"
)

// EncodeObject encodes v as one line, without the escapes meant for HTML.
func EncodeObject(v any) ([]byte, error) {
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

// Encode is EncodeObject with the unknown members of a record. A line that a reader
// would not read to its end is [jsonline.ErrLong].
func Encode(v any, unknown string) ([]byte, error) {
	line, err := EncodeObject(v)
	if err != nil {
		return nil, err
	}
	line = jsonline.Append(line, unknown)
	return line, jsonline.ErrLong.Unless(len(line)+batchRoom <= jsonline.MaxLine)
}
