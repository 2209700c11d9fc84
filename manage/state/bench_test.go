package state

import (
	"strconv"
	"testing"
)

// BenchmarkFind measures what a request with a session costs.
func BenchmarkFind(b *testing.B) {
	db := newFile(b).open(b, nil)
	_, cookie := login(b, db, Login{User: "ada"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Sessions.Find(b.Context(), cookie); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOperation measures what an Idempotency-Key adds to a change: Begin,
// which is synced, and Finish.
func BenchmarkOperation(b *testing.B) {
	db := newFile(b).open(b, nil)
	answer := make([]byte, 500)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		a, err := db.Idempotency.Begin(b.Context(), operation("ada"+strconv.Itoa(n/1000), strconv.Itoa(n)))
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Idempotency.Finish(b.Context(), a, answer); err != nil {
			b.Fatal(err)
		}
	}
}
