package filestore

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/race"
	"keyward/keyindex"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
)

// writeKeys makes a file of n keys, the i-th of which has the digest digestAt(i).
func writeKeys(t testing.TB, path string, n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	w.Write(fileheader.Keys(apikey.NewHasher(authz.Secret{})).Journal().Line)
	for i := range n {
		if err := writeKey(w, i, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// writeKey writes the line of the i-th key.
func writeKey(w io.Writer, i int, revoked bool) error {
	end := ""
	if revoked {
		end = `"revoked":"2026-01-03T00:00:00Z",`
	}
	d := digestAt(i)
	_, err := fmt.Fprintf(w, `{"id":"k_%012d","name":"service key %d","user":"user-%d","project":"project-%d","paths":["/v1/data","/v1/%d"],`+
		`"scopes":["read","write"],"prefix":"kw_","hint":"kw_ab12","format":"keyward","hash":"%x",`+
		`"created":"2026-01-02T03:04:05.123456789Z","expires":"2027-01-02T03:04:05Z",%s"at":"2026-01-02T03:04:05.123456789Z"}`+"\n",
		i, i, i%1000, i%50, i%100, d[:], end)
	return err
}

func digestAt(i int) apikey.Digest {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(i))
	return sha256.Sum256(n[:])
}

// loaded follows a file of n keys.
func loaded(t testing.TB, path string) *keyindex.Keys {
	t.Helper()
	keys := keyindex.NewKeys()
	f, err := KeyFeed{apikey.NewHasher(authz.Secret{}), journal.FollowConfig{Path: path}}.Follow(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := keys.Ready(); err != nil {
		t.Fatal(err)
	}
	return keys
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMemoryPerKey(t *testing.T) {
	if race.Detector {
		t.Skip("the race detector's own memory is in the way")
	}
	const n, maxBytes = 200_000, 200
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	writeKeys(t, path, n)
	before := heapInUse()
	keys := loaded(t, path)
	each := float64(heapInUse()-before) / n
	t.Logf("%.0f bytes per key", each)
	if each > maxBytes {
		t.Errorf("%.0f bytes of live heap per key, want at most %d", each, maxBytes)
	}
	d := digestAt(n - 1)
	if _, err := keys.Find(d, time.Now()); err != nil {
		t.Error(err)
	}
}

func BenchmarkLoad1M(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.jsonl")
	writeKeys(b, path, 1_000_000)
	before := heapInUse()
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		keys := loaded(b, path)
		b.ReportMetric(time.Since(start).Seconds(), "s/load")
		b.StopTimer()
		b.ReportMetric(float64(heapInUse()-before)/1e6, "B/key")
		runtime.KeepAlive(keys)
		b.StartTimer()
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "keys.jsonl")
			writeKeys(b, path, n)
			keys := loaded(b, path)
			now := time.Now()
			digests := make([]apikey.Digest, 1<<16)
			for i := range digests {
				digests[i] = digestAt(i * 7919 % n)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				key, err := keys.Find(digests[i%len(digests)], now)
				if err != nil || key.State != keyindex.Active {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCurrent(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.jsonl")
	writeKeys(b, path, 1000)
	keys := loaded(b, path)
	d := digestAt(7)
	key, err := keys.Find(d, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		if !keys.IsCurrent(key.Revision) {
			b.Fatal("not current")
		}
	}
}
