package signingkeys

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// advance does what is due. What it returns as an error is what could not be done.
func (k *Keys) advance(set *Set, now time.Time) (changed bool, err error) {
	for _, step := range []func(*Set, time.Time) bool{k.correct, retireLost, k.removeExpired, k.promote, k.raiseTTL} {
		changed = step(set, now) || changed
	}
	added, err := k.addDue(set, now)
	return added || changed, err
}

// correct replaces times that are not known, and those in the future: they are of a clock
// that was ahead, and no rotation would be due until then.
func (k *Keys) correct(set *Set, now time.Time) (changed bool) {
	for i := range set.Keys {
		key := &set.Keys[i]
		if key.Since.IsZero() || key.Since.After(now.Add(2*clockSkew)) {
			key.Since, changed = now, true
		}
	}
	return changed
}

// retireLost ends what lost keys were for. If one is restored, it is published again.
func retireLost(set *Set, now time.Time) (changed bool) {
	for i := range set.Keys {
		if key := &set.Keys[i]; key.Private == nil && key.State != Retiring {
			key.enter(Retiring, now)
			changed = true
		}
	}
	return changed
}

// removeExpired removes the keys whose last token has expired everywhere.
func (k *Keys) removeExpired(set *Set, _ time.Time) bool {
	before := len(set.Keys)
	set.Keys = slices.DeleteFunc(set.Keys, func(key Key) bool {
		return key.State == Retiring && key.Elapsed >= k.cfg.keepFor(&key)
	})
	return len(set.Keys) < before
}

// promote has the next key sign, once it was published for long enough. In place of a
// lost key it signs as soon as every process can have read it.
func (k *Keys) promote(set *Set, now time.Time) bool {
	next, signing := set.find(Next), set.find(Signing)
	switch {
	case next == nil, next.Elapsed < k.cfg.readByAll():
		return false
	case signing == nil:
	case next.Elapsed < k.cfg.publishFor():
		return false
	default:
		signing.enter(Retiring, now)
	}
	next.enter(Signing, now)
	next.TokenTTL = max(next.TokenTTL, k.cfg.TokenTTL)
	return true
}

// raiseTTL puts on record that tokens may be valid for longer than before.
func (k *Keys) raiseTTL(set *Set, _ time.Time) bool {
	signing := set.find(Signing)
	if signing == nil || signing.TokenTTL >= k.cfg.TokenTTL {
		return false
	}
	signing.TokenTTL = k.cfg.TokenTTL
	return true
}

// addDue makes the first key, or the next one when it must be published.
func (k *Keys) addDue(set *Set, now time.Time) (added bool, err error) {
	signing := set.find(Signing)
	switch {
	case len(set.Keys) == 0:
		return k.add(set, Signing, now)
	case set.find(Next) != nil:
		return false, nil
	case signing == nil:
		return k.add(set, Next, now)
	case signing.Algorithm == k.cfg.Algorithm && now.Sub(signing.Since) < k.cfg.RotateEvery-k.cfg.publishFor():
		return false, nil
	case len(set.Keys) >= maxKeys:
		return false, ErrTooManyKeys
	default:
		return k.add(set, Next, now)
	}
}

// add makes a key, or takes the one that it made before another process changed the set.
func (k *Keys) add(set *Set, state State, now time.Time) (added bool, err error) {
	if k.spare == nil {
		if k.spare, err = generate(k.cfg.Algorithm); err != nil {
			return false, err
		}
		public, err := publicKeyOf(k.spare)
		if err != nil {
			return false, err
		}
		k.spareID = public.ID
	}
	set.Keys = append(set.Keys, Key{
		Record: Record{
			ID: k.spareID, Algorithm: k.cfg.Algorithm, State: state, Created: now, Since: now, TokenTTL: k.cfg.TokenTTL,
		},
		Private: k.spare,
	})
	return true, nil
}

var errMissing = errors.New("the storage no longer has it")

// findLost returns an error about each key whose loss was not reported yet.
func (k *Keys) findLost(stored *Set) error {
	var errs []error
	report := func(key *Key, cause error) {
		if !k.lost[key.ID] {
			errs = append(errs, fmt.Errorf("%w: key %s (%s): %w", ErrLost, key.ID, key.State, cause))
		}
	}
	for i := range stored.Keys {
		if key := &stored.Keys[i]; key.Private == nil {
			report(key, key.Lost)
		}
	}
	// A storage of which no version was replaced has what it had.
	if last := k.view.Load(); last != nil && last.set.Version == stored.Version {
		for i := range last.set.Keys {
			if key := &last.set.Keys[i]; stored.byID(key.ID) == nil {
				report(key, errMissing)
			}
		}
	}
	return errors.Join(errs...)
}
