package signingkeys

import (
	"fmt"
	"time"
)

// putBack makes of a set that is earlier than the one in force, such as that of a restored
// database, one with the keys in force. They stay what they were: other processes know
// them so. Keys that have ended since stay ended; unknown ones are published, and do not
// sign. It returns ErrWentBack, or nil if the set is not earlier.
func (k *Keys) putBack(set *Set, now time.Time) error {
	inForce := k.view.Load()
	if inForce == nil || set.Version >= inForce.set.Version {
		return nil
	}
	back := make([]Key, 0, len(set.Keys)+len(inForce.set.Keys))
	for _, key := range set.Keys {
		if known := inForce.set.byID(key.ID); k.ended[key.ID] || known != nil && known.Private != nil {
			continue
		}
		if key.State != Retiring {
			key.enter(Retiring, now)
		}
		back = append(back, key)
	}
	for _, key := range inForce.set.Keys {
		if key.Private != nil {
			back = append(back, key)
		}
	}
	err := fmt.Errorf("%w: %d, after %d", ErrWentBack, set.Version, inForce.set.Version)
	set.Keys = back
	return err
}
