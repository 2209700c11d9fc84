package importer

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
)

// FuzzImportTable: an error gives no key, repeats no cell, and what is read is
// what encoding/csv reads.
func FuzzImportTable(f *testing.F) {
	f.Add("key,name\nsecret-key-1,n\n")
	f.Add("\ufeffname,key\r\n\"a\nb\",secret-key-1\r\n")
	f.Add("key,name\nsecret key,n\nsecret-key-1\n\"")
	columns := []Column{{"key", "key"}, {"name", "name"}}
	hasher := apikey.NewHasher(authz.Secret{})
	f.Fuzz(func(t *testing.T, text string) {
		all, err := KeyFormat{Columns: columns}.Read(strings.NewReader(text), store.KeyParams{}, hasher)
		if err != nil {
			if all != nil || strings.Contains(err.Error(), "secret-key") {
				t.Fatalf("%q: %v %v", text, all, err)
			}
			return
		}
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff"))).ReadAll()
		if err != nil || len(all) != max(len(rows)-1, 0) {
			t.Fatalf("%q: %d keys of %d rows, %v", text, len(all), len(rows), err)
		}
		for i, one := range all {
			if key := rows[i+1][slices.Index(rows[0], "key")]; one.Hash != hasher.Digest(key) || one.Params.Check() != nil {
				t.Fatalf("%q: row %d: %+v", text, i+1, one)
			}
		}
	})
}
