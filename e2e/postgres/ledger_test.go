package postgres

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// change is what is known of one change of a key.
type change int

const (
	unsent       change = iota
	sent                // and not answered yet, or with no answer that says what became of it
	refused             // the answer says that it was not made
	acknowledged        // the answer says that it was made
)

// keyState is a key as those who change and check it know it.
type keyState struct {
	name, id, secret string
	created, revoked change
	// What each replica has answered, by when the answer had arrived.
	accepted, denied [2]time.Time
	lost             [2]bool // it was accepted, and ended with its loss
}

// ledger has the keys that are created and revoked during a failure.
type ledger struct {
	mu    sync.Mutex
	keys  []*keyState
	wrong []string
	lossy bool // keys may be lost after they were acknowledged
}

func (l *ledger) add(name string) *keyState {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := &keyState{name: name}
	l.keys = append(l.keys, k)
	return k
}

// update changes what is known of a key.
func (l *ledger) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// mayLose reports whether keys may be lost after they were acknowledged.
func (l *ledger) mayLose() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lossy
}

// any returns a key that was created and has a known secret, one of the latest as often as
// one of all.
func (l *ledger) any() *keyState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.keys) == 0 {
		return nil
	}
	from := 0
	if rand.IntN(2) == 0 {
		from = max(0, len(l.keys)-10)
	}
	if k := l.keys[from+rand.IntN(len(l.keys)-from)]; k.secret != "" {
		return k
	}
	return nil
}

func (l *ledger) fault(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// observe verifies the answer of a replica about a key, which was asked for at that time.
func (l *ledger) observe(replica int, k *keyState, asked time.Time, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	denied, accepted := k.denied[replica], k.accepted[replica]
	switch answer {
	case "200 ok":
		if !denied.IsZero() && asked.After(denied) {
			l.fault("replica %d accepts %s, which it has seen revoked", replica, k.name)
		}
		if accepted.IsZero() {
			k.accepted[replica] = time.Now()
		}
	case "401 revoked_key":
		if k.revoked == unsent {
			l.fault("replica %d refuses %s, which was not revoked", replica, k.name)
		}
		if denied.IsZero() {
			k.denied[replica] = time.Now()
		}
	case "401 unknown_key":
		wasKnown := !accepted.IsZero() && asked.After(accepted)
		switch {
		case k.lost[replica]:
		case wasKnown && denied.IsZero() && l.lossy:
			k.denied[replica], k.lost[replica] = time.Now(), true
		case wasKnown || !denied.IsZero() && asked.After(denied):
			l.fault("replica %d does not know %s any more", replica, k.name)
		}
	default:
		l.fault("replica %d: %s is %s", replica, k.name, answer)
	}
}

// count returns how many changes have come to that.
func (l *ledger) count(what change) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.keys {
		for _, c := range []change{k.created, k.revoked} {
			if c == what {
				n++
			}
		}
	}
	return n
}

// all returns the keys that there are now.
func (l *ledger) all() []*keyState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.keys)
}
