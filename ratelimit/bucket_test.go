package ratelimit

import (
	"bytes"
	"testing"
)

func TestBuckets(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	for _, keys := range [][2][]byte{{nil, nil}, {key, key}, {key, bytes.Repeat([]byte{8}, 32)}} {
		a, err := NewKeyer(keys[0])
		b, err2 := NewKeyer(keys[1])
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		owner := a.Owner("api_key", "k_1")
		if a.Bucket(owner, "key") != a.Bucket(a.Owner("api_key", "k_1"), "key") {
			t.Error("not the same twice")
		}
		agree := a.Bucket(owner, "key") == b.Bucket(b.Owner("api_key", "k_1"), "key")
		if want := keys[0] != nil && bytes.Equal(keys[0], keys[1]); agree != want {
			t.Errorf("two keyers agree: %v", agree)
		}
		seen := map[Bucket]bool{}
		for _, o := range []Owner{owner, a.Owner("api_key", "k_2"), a.Owner("api_keyk", "_1"), a.Owner("jwt", "k_1"), a.Owner("api_key", "k_1", ""), a.Owner()} {
			for _, limit := range [][]string{{"key"}, {"route", "a"}, {"route", "b"}, {"routea"}, {"route", "a", ""}, {}} {
				bucket := a.Bucket(o, limit...)
				if seen[bucket] {
					t.Errorf("%v %v: another's bucket", o, limit)
				}
				seen[bucket] = true
				if bucket2 := a.Bucket(o, "another"); bucket2[:8] == nil || !bytes.Equal(bucket2[:8], bucket[:8]) {
					t.Error("buckets of one owner with different first halves")
				}
			}
		}
	}
	if _, err := NewKeyer(make([]byte, 15)); err == nil {
		t.Error("a short key was taken")
	}
	if _, err := NewKeyer([]byte{}); err == nil {
		t.Error("an empty key was taken for none")
	}
}
