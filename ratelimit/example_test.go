package ratelimit_test

import (
	"context"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/ratelimit"
)

// A bucket of two requests per minute allows two at once, and then one every
// thirty seconds.
func ExampleMemory() {
	start := time.Now()
	store, err := ratelimit.NewMemory(ratelimit.MemoryConfig{Start: start})
	if err != nil {
		panic(err)
	}
	keyer, err := ratelimit.NewBucketKeyer(nil)
	if err != nil {
		panic(err)
	}
	rate, err := authz.ParseRate("2/m")
	if err != nil {
		panic(err)
	}
	limits := []ratelimit.Limit{{Name: "api_key", Bucket: keyer.Bucket(keyer.Subject("key", "k_1"), "api_key"), Rate: rate}}
	results := make([]ratelimit.Result, len(limits))
	for _, after := range []time.Duration{0, 0, 0, 30 * time.Second} {
		refused, err := store.Take(context.Background(), start.Add(after), limits, results)
		if err != nil {
			panic(err)
		}
		fmt.Println(refused == ratelimit.NotRefused, results[0].Remaining, results[0].RetryAfter)
	}
	// Output:
	// true 1 0s
	// true 0 0s
	// false 0 30s
	// true 0 0s
}
