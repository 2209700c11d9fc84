package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestLongEntry: an entry whose changes are too long for a line names the fields
// without their values; one that is too long without them is not a line.
func TestLongEntry(t *testing.T) {
	long, _ := json.Marshal(strings.Repeat("x", MaxLine/2))
	e := Entry{Seq: 1, Time: time.Unix(0, 0), Actor: "root", Action: UserDelete, Record: "alice", Via: ViaAPI, Outcome: Done, Changes: []Change{{"paths", long, nil}, {"scopes", long, nil}}}
	line, err := e.Line()
	if err != nil || len(line) > MaxLine {
		t.Fatalf("%d bytes, %v", len(line), err)
	}
	got, err := Decode(line)
	if err != nil || len(got.Changes) != 2 || got.Changes[1].Field != "scopes" || got.Changes[1].From != nil || len(e.Changes[1].From) == 0 {
		t.Errorf("%v: %.200s", err, line)
	}
	e.Address = strings.Repeat("x", MaxLine)
	if line, err := e.Line(); err == nil || line != nil {
		t.Errorf("%d bytes, %v", len(line), err)
	}
	e.Address, e.Changes = "", e.Changes[:1]
	if line, err := e.Line(); err != nil || !bytes.Contains(line, long) {
		t.Errorf("an entry that fits: %v", err)
	}
}
