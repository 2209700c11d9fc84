package replica

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/store"
)

// keyEnding: a key that was revoked or deleted has ended, and so has a secret that was
// rotated away.
func keyEnding() ending {
	return &recordEnding[store.KeyRecord]{
		lines:   &store.KeyDecoder{},
		another: func() decoder[store.KeyRecord] { return &store.KeyDecoder{} },
		of: func(r *store.KeyRecord, _ []byte) about {
			return about{strings.Clone(r.ID), r.Seq, r.Ended() || !r.Rotated.IsZero(), r.Ended()}
		},
		carry: carryKey,
		flat:  plainKey,
		end:   func(r *store.KeyRecord) { r.Revoked = store.Latest(r.At, r.SecretSince()) },
		line:  (*store.KeyRecord).Line,
	}
}

// plainKey: a line that names none of the members by which a key or a secret ends, whatever
// it says of the others. A name may be written with escapes.
func plainKey(line []byte) (id []byte, ok bool) {
	const begin, idLen = `{"id":"`, len(apikey.IDPrefix) + 12
	if len(line) <= len(begin)+idLen || !bytes.HasPrefix(line, []byte(begin)) || line[len(begin)+idLen] != '"' || isHeld(line) {
		return nil, false
	}
	id = line[len(begin) : len(begin)+idLen]
	if _, ok := apikey.ParseID(id); !ok || bytes.IndexByte(line, '\\') >= 0 {
		return nil, false
	}
	for _, name := range [...]string{`"revoked"`, `"deleted"`, `"rotated"`} {
		if bytes.Contains(line, []byte(name)) {
			return nil, false
		}
	}
	return id, true
}

func carryKey(seen, next *store.KeyRecord) bool {
	changed := false
	if seen.Ended() && !next.Ended() {
		next.Revoked, next.Deleted, next.Ending = seen.Revoked, seen.Deleted, seen.Ending
		changed = true
	}
	if !seen.Unsupported && !next.Unsupported && secretEnded(seen.Rotated, next.SecretSince(), seen.Hash, next.Hash, seen.Previous, next.Previous) {
		next.Hash, next.Previous, next.Rotated = seen.Hash, seen.Previous, seen.Rotated
		next.Prefix, next.Hint, next.Format = seen.Prefix, seen.Hint, seen.Format
		changed = true
	}
	return changed
}

// secretEnded reports whether a record has a secret that was rotated away, by one with the
// secret seen: an earlier one, or a previous one whose grace has ended since.
func secretEnded(seenSince, nextSince time.Time, seen, next apikey.Digest, seenBefore, nextBefore []store.PreviousSecret) bool {
	if seenSince.IsZero() || !seenSince.Equal(nextSince) {
		return seenSince.After(nextSince)
	}
	return seen != next || slices.ContainsFunc(nextBefore, func(p store.PreviousSecret) bool {
		return !p.Until.IsZero() && !slices.ContainsFunc(seenBefore, func(s store.PreviousSecret) bool {
			return s.Hash == p.Hash && !s.Until.Before(p.Until)
		})
	})
}

// userEnding: a user who was deleted or disabled has ended, and so has all that ended
// with the user or by its times and its generation of tokens. A later user of the name is
// another one.
func userEnding() ending {
	return &recordEnding[store.UserRecord]{
		lines:   &store.UserDecoder{},
		another: func() decoder[store.UserRecord] { return &store.UserDecoder{} },
		of: func(r *store.UserRecord, _ []byte) about {
			ended := r.Disabled || !r.Deleted.IsZero()
			return about{r.Name, r.Seq, ended || r.Gen > 0 || !r.SessionsFrom().IsZero(), ended}
		},
		carry: carryUser,
		later: func(seen, next *store.UserRecord) bool { return forgetsUser(seen, next) && carryUser(seen, next) },
		end:   func(r *store.UserRecord) { r.Delete(r.At, time.Time{}) },
		line:  (*store.UserRecord).Line,
	}
}

// forgetsUser reports whether something has ended by the record seen that counts by next.
// No change makes that so: the next user of a name begins with what has ended by then.
func forgetsUser(seen, next *store.UserRecord) bool {
	return next.Gen < seen.Gen || next.EndedAt().Before(seen.EndedAt()) || next.SessionsFrom().Before(seen.SessionsFrom())
}

// carryUser keeps the later At: by it another user of the name is distinguished from one
// that a restore brings back.
func carryUser(seen, next *store.UserRecord) bool {
	changed := forgetsUser(seen, next)
	if ended := seen.Disabled || !seen.Deleted.IsZero(); ended && !next.Created.After(seen.At) {
		if next.At.Before(seen.At) {
			next.At, changed = seen.At, true
		}
		switch {
		case !next.Deleted.IsZero():
		case !seen.Deleted.IsZero():
			next.Delete(next.At, time.Time{})
			changed = true
		case !next.Disabled:
			next.Disabled, next.Ending, changed = true, seen.Ending, true
		}
	}
	if changed {
		next.Succeed(seen)
		next.SessionsSince = store.Latest(next.SessionsSince, seen.SessionsSince)
	}
	return changed
}

// projectEnding: a project that was deleted has ended. A later one of the name is
// another one.
func projectEnding() ending {
	return &recordEnding[store.Project]{
		lines:   &store.ProjectDecoder{},
		another: func() decoder[store.Project] { return &store.ProjectDecoder{} },
		of: func(r *store.Project, _ []byte) about {
			ended := !r.Deleted.IsZero()
			return about{r.Name, r.Seq, ended, ended}
		},
		carry: func(seen, next *store.Project) bool {
			if !seen.Deleted.After(next.Deleted) || next.Created.After(seen.Deleted) {
				return false
			}
			next.Delete(seen.Deleted)
			return true
		},
		end:  func(r *store.Project) { r.Delete(r.At) },
		line: (*store.Project).Line,
	}
}

// clientEnding: an OAuth client that was deleted or disabled has ended, and so have the
// tokens of an earlier generation and a secret that was rotated away.
func clientEnding() ending {
	return &recordEnding[store.Client]{
		lines:   &store.ClientDecoder{},
		another: func() decoder[store.Client] { return &store.ClientDecoder{} },
		of: func(r *store.Client, _ []byte) about {
			ended := r.Disabled || !r.Deleted.IsZero()
			return about{r.ID, r.Seq, ended || r.Gen > 0 || !r.Rotated.IsZero(), ended}
		},
		carry: carryClient,
		later: func(seen, next *store.Client) bool {
			ended := next.Gen < seen.Gen || !seen.Deleted.IsZero() && next.Deleted.IsZero() || clientSecretEnded(seen, next)
			return ended && carryClient(seen, next)
		},
		end:  func(r *store.Client) { r.Delete(r.At) },
		line: (*store.Client).Line,
	}
}

func carryClient(seen, next *store.Client) bool {
	changed := next.Gen < seen.Gen
	next.Gen = max(next.Gen, seen.Gen)
	if !next.Deleted.IsZero() {
		return changed
	}
	if !seen.Deleted.IsZero() {
		next.Delete(seen.Deleted)
		next.Ending = seen.Ending
		return true
	}
	if seen.Disabled && !next.Disabled {
		next.Disabled, next.Ending, changed = true, seen.Ending, true
	}
	if clientSecretEnded(seen, next) {
		next.Hash, next.Previous, next.Rotated, changed = seen.Hash, seen.Previous, seen.Rotated, true
	}
	return changed
}

func clientSecretEnded(seen, next *store.Client) bool {
	return !seen.Unsupported && !next.Unsupported && !next.Public &&
		secretEnded(seen.Rotated, store.Latest(next.Created, next.Rotated), seen.Hash, next.Hash, seen.Previous, next.Previous)
}

// revocationEnding: a revocation stays until it is over. It has no id: each is a record
// of its own, and none takes the place of another.
func revocationEnding(now func() time.Time) ending {
	return &recordEnding[store.Revocation]{
		lines:   &store.RevocationDecoder{},
		another: func() decoder[store.Revocation] { return &store.RevocationDecoder{} },
		of: func(r *store.Revocation, line []byte) about {
			id := revocationID(r)
			if r.Unsupported {
				id = string(unmarked(line))
			}
			return about{id, r.Seq, !r.Over(now()), true}
		},
		carry: func(_, _ *store.Revocation) bool { return false },
		line:  (*store.Revocation).Line,
	}
}

// revocationID names all that distinguishes a revocation from others.
func revocationID(r *store.Revocation) string {
	var parts []string
	for _, of := range []struct{ name, id string }{{"jti", r.TokenID}, {"sid", r.SessionID}, {"subject", r.Subject}} {
		if of.id != "" {
			parts = append(parts, fmt.Sprintf("%s %q", of.name, of.id))
		}
	}
	for _, of := range []struct {
		name string
		at   time.Time
	}{{"issued_before", r.IssuedBefore}, {"until", r.Until}} {
		if !of.at.IsZero() {
			parts = append(parts, of.name+" "+of.at.UTC().Format(time.RFC3339Nano))
		}
	}
	return strings.Join(parts, " ")
}
