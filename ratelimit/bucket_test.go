package ratelimit

import (
	"bytes"
	"testing"
)

func TestBuckets(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	for _, keys := range [][2][]byte{{nil, nil}, {key, key}, {key, bytes.Repeat([]byte{8}, 32)}} {
		a, err := NewBucketKeyer(keys[0])
		b, err2 := NewBucketKeyer(keys[1])
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		subject := a.Subject("api_key", "k_1")
		if a.Bucket(subject, "key") != a.Bucket(a.Subject("api_key", "k_1"), "key") {
			t.Error("the same subject and limit give two buckets")
		}
		agree := a.Bucket(subject, "key") == b.Bucket(b.Subject("api_key", "k_1"), "key")
		if want := keys[0] != nil && bytes.Equal(keys[0], keys[1]); agree != want {
			t.Errorf("same buckets of two keyers: %v", agree)
		}
		seen := map[Bucket]bool{}
		for _, o := range []Subject{subject, a.Subject("api_key", "k_2"), a.Subject("api_keyk", "_1"), a.Subject("jwt", "k_1"), a.Subject("api_key", "k_1", ""), a.Subject()} {
			for _, limit := range [][]string{{"key"}, {"route", "a"}, {"route", "b"}, {"routea"}, {"route", "a", ""}, {}} {
				bucket := a.Bucket(o, limit...)
				if seen[bucket] {
					t.Errorf("%v %v: the bucket of another subject or limit", o, limit)
				}
				seen[bucket] = true
				if bucket2 := a.Bucket(o, "another"); bucket2[:8] == nil || !bytes.Equal(bucket2[:8], bucket[:8]) {
					t.Error("buckets of one subject with different first halves")
				}
			}
		}
	}
	if _, err := NewBucketKeyer(make([]byte, 15)); err == nil {
		t.Error("a short key was accepted")
	}
	if _, err := NewBucketKeyer([]byte{}); err == nil {
		t.Error("an empty key was treated as no key")
	}
}
