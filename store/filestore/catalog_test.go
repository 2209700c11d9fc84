package filestore

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/race"
	"keyward/store"
)

// cataloged is a key file with a catalog.
func cataloged(t testing.TB, path string) *changedKeys {
	t.Helper()
	return newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{}), Catalog: &CatalogConfig{}})
}

// millionKeys is a loaded catalog of a file of a million keys.
func millionKeys(b *testing.B) *changedKeys {
	b.Helper()
	if testing.Short() {
		b.Skip("it takes seconds to make the file")
	}
	path := filepath.Join(b.TempDir(), "keys.jsonl")
	writeKeys(b, path, 1_000_000)
	before := heapInUse()
	f, start := cataloged(b, path), time.Now()
	if err := f.LoadCatalog(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Logf("%v to load, %.0f bytes per key", time.Since(start), float64(heapInUse()-before)/1e6)
	return f
}

// reportTail reports the 99th percentile of the times.
func reportTail(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkCatalogGet(b *testing.B) {
	f := millionKeys(b)
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if _, err := f.Get(b.Context(), fmt.Sprintf("k_%012d", i*7919%1_000_000)); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	reportTail(b, times)
}

func BenchmarkCatalogGetAfterAppend(b *testing.B) {
	f := millionKeys(b)
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprintf("k_%012d", i*7919%1_000_000)
		if _, err := f.Revoke(b.Context(), id, store.AnyVersion); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if _, err := f.Get(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	reportTail(b, times)
}

func BenchmarkCatalogPage(b *testing.B) {
	f := millionKeys(b)
	for name, filter := range map[string]store.KeyFilter{
		"all": {}, "user": {User: "user-7"}, "user and project": {User: "user-7", Project: "project-7"}, "none": {User: "user-7", Project: "project-8"},
		"text": {Text: "-999"}, "no text": {Text: "no such name"},
		"expiring": {Expiring: 14 * 24 * time.Hour, Now: time.Now()},
	} {
		b.Run(name, func(b *testing.B) {
			var times []time.Duration
			page := store.Page{Limit: 100, NewestFirst: true}
			for b.Loop() {
				start := time.Now()
				_, next, err := f.List(b.Context(), filter, page)
				if err != nil {
					b.Fatal(err)
				}
				page.After = next
				times = append(times, time.Since(start))
			}
			reportTail(b, times)
		})
	}
}

func TestCatalogMemoryPerKey(t *testing.T) {
	if race.Detector {
		t.Skip("the race detector's own memory is in the way")
	}
	const n, maxBytes = 200_000, 140 // with a name of 7 characters
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	writeKeys(t, path, n)
	before := heapInUse()
	f := cataloged(t, path)
	if err := f.LoadCatalog(t.Context()); err != nil {
		t.Fatal(err)
	}
	each := float64(heapInUse()-before) / n
	t.Logf("%.0f bytes per key", each)
	if each > maxBytes {
		t.Errorf("%.0f bytes of live heap per key, want at most %d", each, maxBytes)
	}
	runtime.KeepAlive(f)
}
