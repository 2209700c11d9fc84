package store

import "testing"

// typicalLine is as most lines of a file of keys are.
const typicalLine = `{"id":"k_000000000001","name":"service key 1","user":"user-1","project":"project-1","paths":["/v1/data","/v1/1"],` +
	`"scopes":["read","write"],"prefix":"kw_","hint":"kw_ab12","format":"keyward","hash":"00000000000000000000000000000000000000000000000000000000000000ff",` +
	`"created":"2026-01-02T03:04:05.123456789Z","expires":"2027-01-02T03:04:05Z","at":"2026-01-02T03:04:05.123456789Z"}`

// TestDecodeAllocatesNothing: what only lines of a newer version need costs the
// others nothing.
func TestDecodeAllocatesNothing(t *testing.T) {
	var d KeyDecoder
	line := []byte(typicalLine)
	if n := testing.AllocsPerRun(100, func() {
		if r, err := d.Decode(line); err != nil || r.Unknown != "" {
			t.Fatal(r, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a line", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	var d KeyDecoder
	line := []byte(typicalLine)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(line); err != nil {
			b.Fatal(err)
		}
	}
}
