package cache_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"keyward/cache"
)

// A value is stored under a keyed hash of the input that it was made from. Get
// finds it until the TTL is over. Concurrent callers of Compute share one
// computation.
func ExampleCache() {
	users, err := cache.New[string](1000, time.Minute)
	if err != nil {
		panic(err)
	}
	secret := make([]byte, sha256.Size)
	if _, err := rand.Read(secret); err != nil {
		panic(err)
	}
	digest := hmac.New(sha256.New, secret)
	digest.Write([]byte("a credential"))
	key := cache.Key(digest.Sum(nil))

	now := time.Now()
	for _, at := range []time.Time{now, now.Add(time.Second), now.Add(2 * time.Minute)} {
		if user, ok := users.Get(&key, at); ok {
			fmt.Println("cached:", user)
			continue
		}
		user, err := users.Compute(context.Background(), &key, at, func() (string, error) {
			return "alice", nil
		})
		fmt.Println("verified:", user, err)
	}
	// Output:
	// verified: alice <nil>
	// cached: alice
	// verified: alice <nil>
}
