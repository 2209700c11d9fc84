package filestore

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"keyward/store"
	"keyward/store/audit"
)

// TestPageOfLargeRecords: a page ends before its records fill the memory, and the next
// ones have the rest.
func TestPageOfLargeRecords(t *testing.T) {
	const keys = 120
	f := cataloged(t, filepath.Join(t.TempDir(), "keys.jsonl"))
	var paths []string
	for i := range 100 {
		paths = append(paths, fmt.Sprintf("/%03d%s", i, strings.Repeat("x", 200)))
	}
	for range keys {
		if _, _, err := f.Create(t.Context(), store.KeyParams{Name: "large", Paths: paths}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for page := (store.Page{Limit: 1000, NewestFirst: true}); ; {
		records, next, err := f.List(t.Context(), store.KeyFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 || len(records) > 60 {
			t.Fatalf("a page of %d keys of 20 KB", len(records))
		}
		for i := range records {
			seen[records[i].ID] = true
		}
		if next == "" {
			break
		}
		page.After = next
	}
	if len(seen) != keys {
		t.Errorf("%d of %d keys", len(seen), keys)
	}
	if all, _, err := f.List(t.Context(), store.KeyFilter{}, store.Page{}); err != nil || len(all) != keys {
		t.Errorf("without a limit: %d keys, %v", len(all), err)
	}
}

// TestPageOfLargeEntries is the same for the audit log.
func TestPageOfLargeEntries(t *testing.T) {
	const entries = 100
	log := NewAuditFile(AuditFileConfig{Path: filepath.Join(t.TempDir(), "audit.jsonl")})
	for range entries {
		e := &audit.Entry{Actor: "root", Action: audit.KeyCreate, Record: "k_123456789012", Via: audit.ViaAPI, Outcome: audit.Refused, Changes: []audit.Change{{Field: "paths", To: []byte(`"` + strings.Repeat("x", 20_000) + `"`)}}}
		if err := log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for page := (store.Page{Limit: 1000, NewestFirst: true}); ; {
		found, next, err := log.List(t.Context(), store.AuditFilter{}, page)
		if err != nil || len(found) == 0 || len(found) > 60 {
			t.Fatalf("a page of %d entries of 20 KB, %v", len(found), err)
		}
		seen += len(found)
		if next == "" {
			break
		}
		page.After = next
	}
	if seen != entries {
		t.Errorf("%d of %d entries", seen, entries)
	}
}
