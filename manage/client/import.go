package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"keyward/store/importer"
)

// ImportKeys imports keys of another system, or their hashes: all of them, or none. It
// returns their ids in the order of the keys. An error names the line of the input.
func (c *Client) ImportKeys(ctx context.Context, keys []importer.GivenKey, hashed bool) ([]string, error) {
	var imported struct {
		IDs []string `json:"ids"`
	}
	lines, err := importLines(keys, hashed)
	if err != nil {
		return nil, err
	}
	err = c.call(ctx, request{method: http.MethodPost, path: "/keys/import", lines: lines, once: true}, &imported)
	return imported.IDs, err
}

// importLines returns the body: the key of each line of the input is on the same line of
// it, so that the server names that.
func importLines(keys []importer.GivenKey, hashed bool) ([]byte, error) {
	var lines bytes.Buffer
	number := 1
	for _, k := range keys {
		for ; number < k.Line; number++ {
			lines.WriteByte('\n')
		}
		body := settingsOf(k.Params).put("name", k.Params.Name, "user", k.Params.User, "prefix", k.Params.Prefix)
		if hashed {
			body["hash"] = k.Text.Reveal()
		} else {
			body["key"] = k.Text.Reveal()
		}
		line, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		lines.Write(line)
		lines.WriteByte('\n')
		number++
	}
	return lines.Bytes(), nil
}
