// Package keptanswer keeps the answers to requests that may be sent again, without the
// secrets that they showed.
package keptanswer

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// Recorder passes a response on and keeps it.
type Recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (r *Recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *Recorder) Write(p []byte) (int, error) {
	r.body.Write(p)
	return r.ResponseWriter.Write(p)
}

// Status returns the status of the response, zero if it has none yet.
func (r *Recorder) Status() int { return r.status }

// storedAnswer is a response as it is stored. It never has a secret.
type storedAnswer struct {
	Status int             `json:"status"`
	ETag   string          `json:"etag,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// secretMembers are the members of responses that show a secret.
var secretMembers = []string{"key", "secret", "link"}

// Encode returns the answer without its secrets. A body that is not an object is not
// stored: what it has is not known.
func (r *Recorder) Encode() []byte {
	stored := storedAnswer{Status: r.status, ETag: r.Header().Get("ETag")}
	var members map[string]json.RawMessage
	if json.Unmarshal(r.body.Bytes(), &members) == nil && members != nil {
		for _, name := range secretMembers {
			if _, shown := members[name]; shown {
				delete(members, name)
				members["secret_shown"] = json.RawMessage("false")
			}
		}
		stored.Body, _ = json.Marshal(members) // of what was just decoded
	}
	text, _ := json.Marshal(stored)
	return text
}

// Write writes an encoded answer. It returns false, and writes nothing, for what is not
// one.
func Write(w http.ResponseWriter, text []byte) bool {
	var stored storedAnswer
	if json.Unmarshal(text, &stored) != nil {
		return false
	}
	if stored.ETag != "" {
		w.Header().Set("ETag", stored.ETag)
	}
	if stored.Body != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(stored.Status)
	_, _ = w.Write(stored.Body)
	return true // or the client is gone
}
