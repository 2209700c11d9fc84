package signingkeys

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestFirstKey: it signs at once, and a second process has the same.
func TestFirstKey(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	f.wantPublished("at first", first)
	if other := f.other(); other.signsWith() != first {
		t.Error("a second process signs with another key")
	}
	if f.run(30 * time.Minute); f.storage.stores != 1 {
		t.Errorf("%d changes while nothing was due", f.storage.stores)
	}
}

// TestRotation: the next key is published before it signs, and the last one until its
// tokens have expired.
func TestRotation(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	f.run(2*time.Hour - 13*time.Minute)
	f.wantPublished("before the rotation is due", first)
	f.run(time.Minute)
	next := f.inState(Next)
	f.wantPublished("when it is due", first, next)
	f.run(11 * time.Minute)
	if f.signsWith() != first {
		t.Fatal("the next key signs before every process has published it for ten minutes")
	}
	f.run(time.Minute)
	if f.signsWith() != next {
		t.Fatal("the next key does not sign after two hours")
	}
	f.wantPublished("after the rotation", first, next)
	f.run(72 * time.Minute) // staleness of ten minutes, an hour, a minute of leeway, two of clocks
	f.wantPublished("before its last token has expired", first, next)
	f.run(time.Minute + 5*time.Minute) // what is passed is stored each five minutes
	f.wantPublished("after its last token has expired", next)
	if f.Age() != 90*time.Minute {
		t.Errorf("the key that signs is %v old", f.Age())
	}
}

// TestRestarts: what has passed counts although processes restart all the time.
func TestRestarts(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	for range 4 * 60 {
		f.run(time.Minute)
		*f.machine.real += 20 * time.Second
		f.maintain()
		if len(f.Status()) > 1 || *f.machine.real%(5*time.Minute) == 0 {
			f.run(5 * time.Minute)
			f.restart()
		}
		if f.signsWith() != first && !published(t, f.Keys)[first] {
			return
		}
	}
	t.Errorf("after %v: %+v", *f.machine.real, f.Status())
}

// TestRotateNow: rotations that are asked for are published before like others, and a
// second one changes nothing.
func TestRotateNow(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	for range 2 {
		if err := f.Rotate(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	next := f.inState(Next)
	f.wantPublished("rotated", first, next)
	if f.signsWith() != first {
		t.Error("the new key signs at once")
	}
	f.run(12 * time.Minute)
	if f.signsWith() != next {
		t.Error("the new key does not sign")
	}
}

// TestRevokeOld: the old keys are gone at once, the next one too, which may be known to
// others as well. Another process follows.
func TestRevokeOld(t *testing.T) {
	f := newFixture(t)
	other := f.other()
	first := f.signsWith()
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	other.maintain()
	if err := f.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	only := f.signsWith()
	f.wantPublished("revoked", only)
	if only == first {
		t.Error("the old key signs")
	}
	other.maintain()
	other.wantPublished("in another process", only)
	if other.signsWith() != only {
		t.Error("another process signs with an old key")
	}
}

// TestAlgorithm: another algorithm is a rotation like others.
func TestAlgorithm(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	f.cfg.Algorithm = ES256
	f.restart()
	if f.signsWith() != first {
		t.Error("the new key signs at once")
	}
	f.run(12 * time.Minute)
	second := f.signsWith()
	f.wantPublished("with another algorithm", first, second)
	if k := f.storage.set.byID(second); k.Algorithm != ES256 || second == first {
		t.Errorf("%+v", k.Record)
	}
	if f.run(time.Hour); f.signsWith() != second {
		t.Error("it rotates again")
	}
}

// TestLongerTokens: a key is kept for the tokens of the configuration that it signed
// under, whatever that is later.
func TestLongerTokens(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	f.cfg.TokenTTL = 24 * time.Hour
	f.storage.failStore = errDown
	if _, err := Open(t.Context(), f.cfg); !errors.Is(err, errDown) {
		t.Errorf("what cannot be stored is not known: %v", err)
	}
	f.storage.failStore = nil
	f.restart()
	f.cfg.TokenTTL = time.Hour
	f.restart()
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	f.run(23 * time.Hour)
	if !published(t, f.Keys)[first] {
		t.Error("a key is removed whose tokens are valid")
	}
	if f.run(2 * time.Hour); published(t, f.Keys)[first] {
		t.Error("a key is not removed")
	}
}

// TestTTLIsStoredBeforeSigning: a process whose tokens are valid for longer than what is
// on record signs none.
func TestTTLIsStoredBeforeSigning(t *testing.T) {
	f := newFixture(t)
	f.Keys.cfg.TokenTTL = 24 * time.Hour
	f.storage.failStore = errDown
	if err := f.Maintain(t.Context()); !errors.Is(err, errDown) {
		t.Error(err)
	}
	if _, err := f.Sign(TypeJWT, struct{}{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("signed: %v", err)
	}
}

// TestStale: a process that does not read the storage publishes what it read last, and
// signs for ten minutes, by either of its clocks.
func TestStale(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	f.storage.fail = errDown
	for range 10 {
		*f.machine.real += time.Minute
		if err := f.Maintain(t.Context()); !errors.Is(err, errDown) {
			t.Fatal(err)
		}
		f.signsWith()
	}
	*f.machine.real++
	if _, err := f.Sign(TypeJWT, struct{}{}); !errors.Is(err, ErrStale) {
		t.Errorf("after ten minutes: %v", err)
	}
	f.wantPublished("after ten minutes", first)
	f.storage.fail = nil
	f.maintain()
	f.signsWith()
	f.machine.offset = 11 * time.Minute // as after a suspension, which the other clock does not count
	if _, err := f.Sign(TypeJWT, struct{}{}); !errors.Is(err, ErrStale) {
		t.Errorf("after a suspension: %v", err)
	}
	f.maintain()
	f.signsWith()
}

// TestClockJumps: keys are neither removed nor promoted by a clock that jumps, and the
// rotation comes back to what is due.
func TestClockJumps(t *testing.T) {
	f := newFixture(t)
	other := f.other()
	first := f.signsWith()
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, jump := range []time.Duration{5 * time.Hour, -5 * time.Hour, 1000 * time.Hour, 0} {
		f.machine.offset = jump
		f.maintain()
		if f.signsWith() != first {
			t.Errorf("a jump by %v promotes a key", jump)
		}
	}
	f.run(12 * time.Minute)
	other.maintain()
	second := f.signsWith()
	for _, jump := range []time.Duration{5 * time.Hour, -5 * time.Hour, 1000 * time.Hour, 0} {
		f.machine.offset = jump
		f.run(10 * time.Minute)
		other.maintain()
		if ids := published(t, f.Keys); !ids[first] || !ids[f.signsWith()] || !published(t, other.Keys)[f.signsWith()] {
			t.Errorf("a jump by %v: %v", jump, ids)
		}
	}
	f.run(5 * time.Hour)
	if f.signsWith() == second || len(f.Status()) > 3 {
		t.Errorf("hours after the jumps: %+v", f.Status())
	}
}

// TestLost: the others stay in force, the loss is reported once with its id, and a new key
// signs once every process can have read it.
func TestLost(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	f.storage.lost[first] = true
	f.restart() // which is possible
	err := f.Maintain(t.Context())
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), first) {
		t.Errorf("a lost key: %v", err)
	}
	next := f.inState(Next)
	f.wantPublished("lost", next)
	if _, err := f.Sign(TypeJWT, struct{}{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("signed: %v", err)
	}
	f.run(2 * time.Minute)
	if f.signsWith() != next {
		t.Error("no new key signs")
	}
	f.storage.lost[first] = false
	f.maintain()
	f.wantPublished("restored", first, next)
	f.storage.lost[first] = true
	if err := f.Maintain(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("lost again: %v", err)
	}
	f.run(2 * time.Hour)
	if f.storage.set.byID(first) != nil {
		t.Error("a lost key stays on record")
	}
}

// TestLostNextAndLast: what is not the key that signs is lost without an interruption.
func TestLostNextAndLast(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	f.storage.lost[f.inState(Next)] = true
	if err := f.Maintain(t.Context()); !errors.Is(err, ErrLost) || f.signsWith() != first {
		t.Errorf("the next key is lost: %v", err)
	}
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	f.run(12 * time.Minute)
	second := f.signsWith()
	f.storage.lost[first] = true
	if err := f.Maintain(t.Context()); !errors.Is(err, ErrLost) || f.signsWith() != second {
		t.Errorf("the last key is lost: %v", err)
	}
	f.wantPublished("at last", second)
}

// TestMissing: a key that vanishes while the version stays is lost too.
func TestMissing(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	f.storage.set.Keys = nil
	f.storage.set.Keys = append(f.storage.set.Keys, Key{Record: Record{ID: "other", State: Retiring}, Lost: errDown})
	if err := f.Maintain(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), first) {
		t.Error(err)
	}
}

// TestWentBack: a storage that is restored from an earlier version gets the keys in force
// back. What had ended stays ended, and unknown keys are published and do not sign.
func TestWentBack(t *testing.T) {
	f := newFixture(t)
	ended := f.signsWith()
	dump := f.storage.set.clone()
	if err := f.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	f.run(10 * time.Minute)
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	f.run(time.Minute)
	other := f.other()
	signing, next := f.signsWith(), f.inState(Next)
	unknown, err := generate(EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	public, err := publicKeyOf(unknown)
	if err != nil {
		t.Fatal(err)
	}
	dump.Keys = append(dump.Keys, Key{Record: Record{ID: public.ID, Algorithm: EdDSA, State: Signing, Since: start, TokenTTL: time.Hour}, Private: unknown})
	f.storage.set = dump
	f.storage.failStore = errDown
	if err := f.Maintain(t.Context()); !errors.Is(err, errDown) {
		t.Error(err)
	}
	f.wantPublished("when it cannot be written", signing, next)
	f.storage.failStore = nil
	if err := f.Maintain(t.Context()); !errors.Is(err, ErrWentBack) {
		t.Errorf("went back: %v", err)
	}
	f.wantPublished("went back", signing, next, public.ID)
	if f.signsWith() != signing || published(t, f.Keys)[ended] {
		t.Error("the keys in force are not")
	}
	other.maintain()
	other.wantPublished("in another process", signing, next, public.ID)
	f.run(11 * time.Minute)
	if f.signsWith() != next {
		t.Error("the rotation does not go on")
	}
}

// TestTooManyKeys: a rotation waits when too many keys are kept.
func TestTooManyKeys(t *testing.T) {
	f := newFixture(t)
	f.cfg.TokenTTL = 24 * time.Hour
	f.restart()
	var err error
	for range maxKeys {
		if err = f.Rotate(t.Context(), false); err != nil {
			break
		}
		f.run(12 * time.Minute)
	}
	if !errors.Is(err, ErrTooManyKeys) || len(f.Status()) != maxKeys {
		t.Errorf("%d keys, %v", len(f.Status()), err)
	}
	f.Keys.cfg.Algorithm = ES256
	if err := f.Maintain(t.Context()); !errors.Is(err, ErrTooManyKeys) || len(f.Status()) != maxKeys {
		t.Errorf("another algorithm: %d keys, %v", len(f.Status()), err)
	}
	if err := f.Rotate(t.Context(), true); err != nil || len(f.Status()) != 1 {
		t.Errorf("revoked: %v", err)
	}
}

// TestConflict: a change of another process is read before the change is made.
func TestConflict(t *testing.T) {
	f := newFixture(t)
	other := f.other()
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := other.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if len(f.storage.set.Keys) != 2 || other.inState(Next) != f.inState(Next) {
		t.Errorf("%+v", f.storage.set)
	}
}

// TestUncertainStore: a key of which it is not known whether it was stored is not
// published before it was read, and no other takes its place.
func TestUncertainStore(t *testing.T) {
	f := newFixture(t)
	first := f.signsWith()
	f.storage.failStore, f.storage.answer = errDown, true
	if err := f.Rotate(t.Context(), true); !errors.Is(err, errDown) {
		t.Error(err)
	}
	f.wantPublished("uncertain", first)
	f.storage.failStore = nil
	f.maintain()
	if f.signsWith() == first || len(f.storage.set.Keys) != 1 {
		t.Error("the old key was not revoked")
	}
	f.wantPublished("certain", f.signsWith())
}

// TestConfig: what cannot work is refused.
func TestConfig(t *testing.T) {
	good := newFixture(t).cfg
	for what, change := range map[string]func(*Config){
		"no storage": func(c *Config) { c.Storage = nil }, "no algorithm": func(c *Config) { c.Algorithm = "" }, "none": func(c *Config) { c.Algorithm = "none" },
		"no TTL": func(c *Config) { c.TokenTTL = 0 }, "a long TTL": func(c *Config) { c.TokenTTL = MaxTokenTTL + 1 }, "no rotation": func(c *Config) { c.RotateEvery = 0 },
		"negative": func(c *Config) { c.PublishBefore = -1 }, "stale before it is read": func(c *Config) { c.MaxStaleness = time.Minute },
		"negative leeway": func(c *Config) { c.Leeway = -1 }, "negative interval": func(c *Config) { c.ReadEvery = -1 },
	} {
		c := good
		change(&c)
		if _, err := Open(t.Context(), c); err == nil {
			t.Errorf("%s: opened", what)
		}
	}
}

// TestClockWasAhead: a key that began to sign when a clock was far ahead is rotated as
// others are.
func TestClockWasAhead(t *testing.T) {
	f := newFixture(t)
	f.machine.offset = 1000 * time.Hour
	f.run(15 * time.Minute)
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	f.run(15 * time.Minute)
	second := f.signsWith()
	f.machine.offset = 0
	f.run(2*time.Hour + 5*time.Minute)
	if f.signsWith() == second {
		t.Error("it is not rotated")
	}
}

// TestStateAgain: what has passed since a key got its state for the first time does not
// count when it gets it again.
func TestStateAgain(t *testing.T) {
	f := newFixture(t)
	key := Key{Record: Record{ID: "a", State: Retiring, Since: start}}
	f.measure(&Set{Keys: []Key{key}}, 0)
	key.Since = start.Add(time.Hour)
	again := Set{Keys: []Key{key}}
	if f.measure(&again, time.Hour); again.Keys[0].Elapsed != 0 {
		t.Errorf("%v has passed", again.Keys[0].Elapsed)
	}
	if f.measure(&again, 2*time.Hour); again.Keys[0].Elapsed != time.Hour {
		t.Errorf("%v has passed", again.Keys[0].Elapsed)
	}
}
