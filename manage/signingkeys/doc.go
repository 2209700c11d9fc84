// Package signingkeys keeps the keys with which the issuer signs tokens: with which key
// it signs now, and which keys are published. It knows nothing of users, clients and
// claims, and serves no request.
//
// # The life of a key
//
// A key is [Next]: it is in the JWKS and does not sign. Then it is [Signing], until
// another is, and then [Retiring]: it is in the JWKS until the last token that it may
// have signed has expired, and is removed. The first key of all signs at once, since no
// JWKS without it was ever served.
//
// Several processes share the keys through a [Storage], which has one version of the
// [Set] at a time. A process changes the set by replacing the version that it has read,
// so that two processes never both make the next key. Each calls [Keys.Maintain] again
// and again, and signs with the key that was Signing when it read the set last.
//
// # Time
//
// No step depends on clocks that agree. What must have passed before a key signs, or is
// removed, is measured by clocks that only run forwards ([Config].Monotonic), each within
// one process, and is recorded in the set as the least time that has passed
// ([Record].Elapsed), so that a restart does not begin again. A wall clock decides only
// when a rotation is due; one that is wrong makes it early or late.
//
// A process that reads late is bounded too: it refuses to sign when it has not read the
// set for [Config].MaxStaleness, and a key that signs no more is kept longer by that.
//
// # Loss and restoration
//
// A key that its storage has lost, or that cannot be read, is published no more, and the
// tokens that it signed end: [Keys.Maintain] returns [ErrLost] with its id. If it is
// restored in time, it is published again. A storage that goes back to an earlier version
// of all keys, such as a database that is restored from a dump, gets the keys that a
// running process has back ([ErrWentBack]).
package signingkeys
