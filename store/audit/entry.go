// Package audit has the entries of the audit log: who changed what, when, by which
// way, and what became of it. It opens no file: the store writes an entry in the
// same durable step as the change that it is about.
package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"keyward/store/jsonline"
)

// Entry is one entry of the log. It never has a secret.
type Entry struct {
	// Seq numbers the entries of a log from 1 on, without gaps. The record that the
	// change is of has the same number.
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`

	Actor     string `json:"actor,omitempty"`     // a user's name, or cli:USER@HOST; "" is a caller who is not known
	ActorKey  string `json:"actor_key,omitempty"` // the id of the key that the actor used
	Action    Action `json:"action"`
	Record    string `json:"target,omitempty"` // the id or name of the record that it is about
	Via       Via    `json:"via"`
	Address   string `json:"address,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Operation is what the entries of one request with an Idempotency-Key have in
	// common, also if it was sent several times.
	Operation string  `json:"operation,omitempty"`
	Outcome   Outcome `json:"outcome"`
	Reason    string  `json:"reason,omitempty"` // why it was refused, or what the actor gave as a reason
	Count     int64   `json:"count,omitempty"`  // of the events that the entry stands for; zero is one

	// Behind is an entry that was written after its change, since the log could not
	// be written then. Its record does not have its number.
	Behind bool `json:"behind,omitempty"`

	// Changes has the fields that changed.
	Changes []Change `json:"changes,omitempty"`
}

// Change is a field that changed, with its values in JSON; nil is a field that was,
// or is, not there.
type Change struct {
	Field string          `json:"field"`
	From  json.RawMessage `json:"from,omitempty"`
	To    json.RawMessage `json:"to,omitempty"`
}

// Via is the way by which a change came.
type Via string

// The ways.
const (
	ViaAPI     Via = "api"
	ViaConsole Via = "console"
	ViaCLI     Via = "cli"
	ViaIssuer  Via = "issuer"
)

// Outcome is what became of the change.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
	// NotDone is a change that was allowed and not made: the store failed, or the
	// process died.
	NotDone Outcome = "not_done"
)

// MaxLine bounds the line of an entry, in bytes.
const MaxLine = 64 << 10

// ErrInvalid is a line that is not an entry, or an entry that cannot be one.
const ErrInvalid jsonline.Error = "not an entry of an audit log"

// Check returns why the entry cannot be written.
func (e *Entry) Check() error {
	switch {
	case e.Seq <= 0:
		return fmt.Errorf("%w: no number", ErrInvalid)
	case e.Time.IsZero():
		return fmt.Errorf("%w: no time", ErrInvalid)
	case !e.Action.valid():
		return fmt.Errorf("%w: no action %q", ErrInvalid, e.Action)
	case e.Via != ViaAPI && e.Via != ViaConsole && e.Via != ViaCLI && e.Via != ViaIssuer:
		return fmt.Errorf("%w: no way %q", ErrInvalid, e.Via)
	case e.Outcome != Done && e.Outcome != Refused && e.Outcome != NotDone:
		return fmt.Errorf("%w: no outcome %q", ErrInvalid, e.Outcome)
	}
	return nil
}

// Line encodes the entry as a line, newline included. If the line would be too long,
// the values of its changes are left out: the record has them.
func (e *Entry) Line() ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	line, err := e.encode()
	if err == nil && len(line) > MaxLine {
		short := *e
		short.Changes = make([]Change, 0, len(e.Changes))
		for _, c := range e.Changes {
			short.Changes = append(short.Changes, Change{Field: c.Field})
		}
		line, err = short.encode()
	}
	if err == nil && len(line) > MaxLine {
		err = fmt.Errorf("%w: %d bytes, of at most %d", ErrInvalid, len(line), MaxLine)
	}
	if err != nil {
		return nil, err
	}
	return line, nil
}

func (e *Entry) encode() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(e)
	return buf.Bytes(), err
}

// Decode decodes a line. Members that this version does not know are ignored, and
// an action that it does not know is one of a newer version. The error is a
// jsonline.Error.
func Decode(line []byte) (Entry, error) {
	var e Entry
	var syntax *json.SyntaxError
	err := json.Unmarshal(line, &e)
	switch {
	case errors.As(err, &syntax):
		return Entry{}, jsonline.ErrSyntax
	case err != nil || e.Seq <= 0 || e.Outcome == "":
		return Entry{}, ErrInvalid
	}
	return e, nil
}
