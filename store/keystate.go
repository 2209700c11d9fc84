package store

import "time"

// KeyState is what has become of a key.
type KeyState string

// The states.
const (
	KeyActive      KeyState = "active"
	KeyNotYetValid KeyState = "not_yet_valid"
	KeyPaused      KeyState = "paused"
	KeyExpired     KeyState = "expired"
	KeyRevoked     KeyState = "revoked"
	KeyUnsupported KeyState = "unsupported" // a newer version wrote the record
)

// KeyStates returns all states.
func KeyStates() []KeyState {
	return []KeyState{KeyActive, KeyNotYetValid, KeyPaused, KeyExpired, KeyRevoked, KeyUnsupported}
}

// HasEnded reports whether the state is final for the key's secret.
func (s KeyState) HasEnded() bool {
	return s != KeyActive && s != KeyPaused && s != KeyNotYetValid
}

// KeyRules are what the state of a key depends on beside its record.
type KeyRules struct {
	MaxAge time.Duration // of keys; zero: no limit
	Ended  EndedUsers    // the users that were deleted
}

// KeyStatus is the part of a record that the state of the key depends on.
type KeyStatus struct {
	User        string
	Ended       bool // revoked or deleted
	Unsupported bool
	Paused      bool
	Created     time.Time
	SecretSince time.Time
	Expires     time.Time // zero: never
	NotBefore   time.Time // zero: from the beginning
}

// Status returns the record's KeyStatus.
func (r *KeyRecord) Status() *KeyStatus {
	return &KeyStatus{
		User: r.User, Ended: r.Ended(), Unsupported: r.Unsupported, Paused: r.Paused != nil,
		Created: r.Created, SecretSince: r.SecretSince(), Expires: r.Expires, NotBefore: r.NotBefore,
	}
}

// State returns the state that a server with the same rules sees.
func (k *KeyRules) State(s *KeyStatus, now time.Time) KeyState {
	switch {
	case s.Ended || len(k.Ended) > 0 && !k.Ended.Of(s.User, s.Created).IsZero():
		return KeyRevoked
	case s.Unsupported:
		return KeyUnsupported
	case k.Ends(s, now):
		return KeyExpired
	case s.Paused:
		return KeyPaused
	case now.Before(s.NotBefore):
		return KeyNotYetValid
	default:
		return KeyActive
	}
}

// Ends reports whether the key, if it is not revoked before, has expired by then.
func (k *KeyRules) Ends(s *KeyStatus, by time.Time) bool {
	return !s.Expires.IsZero() && !by.Before(s.Expires) || k.MaxAge > 0 && !by.Before(s.SecretSince.Add(k.MaxAge))
}
