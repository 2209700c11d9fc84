package tokensource

import (
	"log/slog"
	"slices"

	"keyward/verifier/jwks"
)

// ignoredKeys reports the keys that are left out of a key set: their tokens are
// refused, and nothing else would explain why. It is not safe for concurrent
// use.
type ignoredKeys struct {
	log      *slog.Logger // names the owner of the keys
	observer Observer
	reported []jwks.Ignored
}

// report takes each set that comes into force. It logs a line per ignored key
// when these change.
func (i *ignoredKeys) report(set *jwks.Set) {
	ignored := set.Ignored()
	i.observer.Ignored(len(ignored))
	if slices.Equal(i.reported, ignored) {
		return
	}
	i.reported = ignored
	for _, key := range ignored {
		i.log.Warn("a key of an issuer's key set is left out", "key", key.Index, "kid", key.ID, "why", key.Why)
	}
	if len(ignored) == 0 {
		i.log.Info("no key of an issuer's key set is left out any more")
	}
}
