package usage

// allKeys is the id under which lines have the use of all keys together. A key has
// another: ids of keys begin with k_.
const allKeys = "*"

// Days returns the use of all keys together on the last 30 days, today first. Keys that
// were deleted since count; use from before a Keyward that adds it up does not.
func (t *Tracker) Days() ([]Day, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var sum aggregate
	if t.store != nil {
		if err := t.store.Lines(allKeys, sum.adder(allKeys)); err != nil {
			return nil, err
		}
	}
	if err := eachPendingLine(t.pending, sum.adder(allKeys)); err != nil {
		return nil, err
	}
	sum.daily.add(&t.drained)
	for i := range t.memory.shards {
		t.memory.shards[i].addDays(&sum.daily)
	}
	days, _ := sum.until(t.cfg.Now())
	return days, nil
}

// addDays adds what is observed of each key and not flushed.
func (s *shard) addDays(sum *daily) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.total > 0 {
			seen := e.calendar.daily()
			sum.add(&seen)
		}
	}
}

// appendDrained adds the days of what was drained to the pending lines, as a line about
// all keys.
func (t *Tracker) appendDrained() {
	if len(t.drained.days) == 0 {
		return
	}
	t.pending = appendDaysLine(t.pending, allKeys, &t.drained)
	t.drained = daily{}
}
