package signingkeys

import "time"

// observation is what a process knows of a key by itself: at the time in, by its
// monotonic clock, at least elapsed had passed since the key got its state.
type observation struct {
	state   State
	since   time.Time
	elapsed time.Duration
	in      time.Duration
}

// measure raises Elapsed of the keys that wait for something to what this process knows,
// and reports whether that is to be stored. The set was read before the time in. Whatever
// is stored is a lower bound, so that what several processes know need not be added up.
func (k *Keys) measure(set *Set, in time.Duration) (grown bool) {
	seen := make(map[string]observation, len(set.Keys))
	for i := range set.Keys {
		key := &set.Keys[i]
		if key.State == Signing {
			continue
		}
		last, known := k.seen[key.ID]
		if known && last.state == key.State && last.since.Equal(key.Since) {
			passed := last.elapsed + in - last.in
			grown = grown || passed-key.Elapsed >= k.storeEvery(key.State)
			key.Elapsed = max(key.Elapsed, passed)
		}
		seen[key.ID] = observation{key.State, key.Since, key.Elapsed, in}
	}
	k.seen = seen
	return grown
}

// storeEvery is how much of the time may be lost when all processes restart.
func (k *Keys) storeEvery(state State) time.Duration {
	if state == Next {
		return k.cfg.ReadEvery
	}
	return 5 * k.cfg.ReadEvery
}
