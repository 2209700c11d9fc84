package issuer

import (
	"log/slog"
	"slices"

	"keyward/jwks"
)

// ignoredKeys tells of the keys that a key set has and that are left out:
// tokens of theirs are refused, which nothing else would explain. It is for one
// goroutine at a time.
type ignoredKeys struct {
	log      *slog.Logger // with what says whose keys they are
	observer Observer
	last     []jwks.Ignored
}

// read is told of each set that comes into force. It logs a line per key when they change.
func (i *ignoredKeys) read(set *jwks.Set) {
	ignored := set.Ignored()
	i.observer.Ignored(len(ignored))
	if slices.Equal(i.last, ignored) {
		return
	}
	i.last = ignored
	for _, key := range ignored {
		i.log.Warn("a key of an issuer's key set is left out", "key", key.Index, "kid", key.ID, "why", key.Why)
	}
	if len(ignored) == 0 {
		i.log.Info("no key of an issuer's key set is left out any more")
	}
}
