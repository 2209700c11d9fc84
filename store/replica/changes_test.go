package replica

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store"
)

// The changes of records that tests make. base is when the first record was made.
var base = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// tick returns the time of the next change.
func (db *database) tick() time.Time {
	db.clock++
	return base.Add(time.Duration(db.clock) * time.Second)
}

func encode[R any](r *R, line func(*R) ([]byte, error)) []byte {
	text, err := line(r)
	if err != nil {
		panic(err)
	}
	return text
}

func decodeKey(line []byte) *store.KeyRecord {
	r, err := (&store.KeyDecoder{}).Decode(line)
	if err != nil {
		panic(err)
	}
	c := r.Clone()
	return &c
}

func decodeUser(line []byte) *store.UserRecord {
	r, err := (&store.UserDecoder{}).Decode(line)
	if err != nil {
		panic(err)
	}
	return r
}

// putKey makes the key or changes it. A key that has ended only changes its description.
func (db *database) putKey(id string, skip int64, change func(*store.KeyRecord, time.Time)) {
	db.put(Keys, id, skip, func(before []byte, seq int64) []byte {
		at := db.tick()
		r := &store.KeyRecord{ID: id, User: "alice", Format: apikey.FormatKeyward, Created: at, Hash: apikey.Digest{byte(seq), 1}}
		if before != nil {
			r = decodeKey(before)
		}
		change(r, at)
		r.At, r.Seq = at, seq
		return encode(r, (*store.KeyRecord).Line)
	})
}

// putUser makes the user or changes it; a deleted one is made again.
func (db *database) putUser(name string, skip int64, change func(*store.UserRecord, time.Time)) {
	db.put(Users, name, skip, func(before []byte, seq int64) []byte {
		at := db.tick()
		r := &store.UserRecord{Name: name, Created: at}
		if before != nil {
			old := decodeUser(before)
			if old.Deleted.IsZero() {
				r = old
			} else {
				r.Succeed(old)
			}
		}
		change(r, at)
		r.At, r.Seq = at, seq
		return encode(r, (*store.UserRecord).Line)
	})
}

func decodeClient(line []byte) *store.Client {
	r, err := (&store.ClientDecoder{}).Decode(line)
	if err != nil {
		panic(err)
	}
	return r
}

// putClient makes the OAuth client or changes it.
func (db *database) putClient(id string, change func(*store.Client, time.Time)) {
	db.put(Clients, id, 0, func(before []byte, seq int64) []byte {
		at := db.tick()
		r := &store.Client{ID: id, Created: at, Hash: apikey.Digest{1}}
		if before != nil {
			r = decodeClient(before)
		}
		change(r, at)
		r.At, r.Seq = at, seq
		return encode(r, (*store.Client).Line)
	})
}

func (db *database) revokeToken(jti string, skip int64) {
	db.put(Revocations, jti, skip, func(_ []byte, seq int64) []byte {
		r := &store.Revocation{TokenID: jti, At: db.tick(), Seq: seq}
		return encode(r, (*store.Revocation).Line)
	})
}

func keep[R any](*R, time.Time) {}

func revoke(r *store.KeyRecord, at time.Time) {
	if !r.Ended() {
		r.Revoked = at
	}
}

func rotate(r *store.KeyRecord, at time.Time) {
	if !r.Ended() {
		r.Rotated, r.Hash = at, apikey.Digest{byte(at.Unix()), 2}
	}
}

func disable(r *store.UserRecord, _ time.Time)  { r.Disabled = true }
func enable(r *store.UserRecord, _ time.Time)   { r.Disabled = false }
func remove(r *store.UserRecord, at time.Time)  { r.Delete(at, time.Time{}) }
func endAll(r *store.UserRecord, at time.Time)  { r.EndAll(at, time.Time{}) }
func describe(r *store.KeyRecord, at time.Time) { r.Description = at.String() }
func trimmed(line []byte) []byte                { return bytes.TrimSuffix(line, []byte("\n")) }
func keyID(n int) string                        { return fmt.Sprintf("k_%012d", n) }
func pathOf(kind Kind) string                   { return "/r/" + string(kind) }
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
