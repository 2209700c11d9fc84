package signingkeys

import (
	"errors"
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var schedules = flag.Int("schedules", 12, "how many random schedules to try")

// simulation is several processes on one storage, each on a machine of its own.
type simulation struct {
	*testing.T
	rnd       *rand.Rand
	real      time.Duration
	storage   *memory
	processes []*process

	ends bool // keys are lost and revoked too

	validUntil map[string]time.Duration // when the last token of a key has expired everywhere
	inStore    map[string]time.Duration // since when a key is in the storage
	revokedAt  time.Duration            // the last time; keys that sign at once since then
	atOnce     map[string]bool          // keys that may sign at once
	exempt     map[string]bool          // keys that were lost or revoked
	signed     map[string]bool
	rotations  int
}

// process is one of them.
type process struct {
	keys     *Keys
	machine  *machine
	cfg      Config
	started  time.Duration
	nextRead time.Duration
	lastRead time.Duration // that was successful
	cutUntil time.Duration // it cannot reach the storage until then
	jumped   bool          // its clock is off by more than a minute

	view *view // as of the last step
	ids  map[string]bool
	kid  string // of the tokens that it signs
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{T: t, rnd: rand.New(rand.NewPCG(seed, 20)), ends: seed%2 == 1, storage: &memory{lost: map[string]bool{}},
		validUntil: map[string]time.Duration{}, inStore: map[string]time.Duration{}, atOnce: map[string]bool{}, exempt: map[string]bool{}, signed: map[string]bool{}}
	for range 2 + s.rnd.IntN(3) {
		p := &process{machine: &machine{real: &s.real}}
		p.machine.offset = s.skew()
		p.cfg = config(s.storage, p.machine)
		p.cfg.RotateEvery = 45 * time.Minute
		s.processes = append(s.processes, p)
		s.restart(p)
	}
	return s
}

// skew is up to a minute, ahead or behind.
func (s *simulation) skew() time.Duration {
	return time.Duration(s.rnd.Int64N(int64(2*time.Minute))) - time.Minute
}

func (s *simulation) restart(p *process) {
	began := s.real
	p.cfg.Monotonic = func() time.Duration { return s.real - began }
	s.storage.fail = nil
	keys, err := Open(s.Context(), p.cfg)
	if err != nil {
		s.Fatal(err)
	}
	p.keys, p.cutUntil, p.started = keys, 0, s.real
	s.wasRead(p)
}

func (s *simulation) wasRead(p *process) {
	p.lastRead = s.real
	p.nextRead = s.real + time.Duration(s.rnd.Int64N(int64(time.Minute))) + 1
	for _, key := range s.storage.set.Keys {
		if _, known := s.inStore[key.ID]; !known {
			s.inStore[key.ID] = s.real
			s.rotations++
			// The first key of all, and that of a revocation.
			s.atOnce[key.ID] = key.State == Signing
		}
	}
}

func (s *simulation) maintain(p *process) {
	s.storage.fail = nil
	if s.real < p.cutUntil {
		s.storage.fail = errDown
	}
	err := p.keys.Maintain(s.Context())
	switch {
	case s.storage.fail != nil:
		p.nextRead = s.real + time.Minute
	case err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrTooManyKeys):
		s.Fatal(err)
	default:
		s.wasRead(p)
	}
	s.storage.fail = nil
}

// disturb does one of what happens from time to time.
func (s *simulation) disturb() {
	p := s.processes[s.rnd.IntN(len(s.processes))]
	n := s.rnd.IntN(1000)
	if n >= 25 && s.real < p.cutUntil || n >= 27 && (!s.ends || s.rnd.IntN(4) > 0) {
		return
	}
	switch {
	case n < 8:
		s.restart(p)
	case n < 11:
		p.cutUntil = s.real + time.Duration(s.rnd.Int64N(int64(40*time.Minute)))
	case n < 15:
		p.machine.offset, p.jumped = time.Duration(s.rnd.Int64N(int64(12*time.Hour)))-6*time.Hour, true
	case n < 25:
		p.machine.offset, p.jumped = s.skew(), false
	case n < 27:
		if err := p.keys.Rotate(s.Context(), false); err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrTooManyKeys) {
			s.Fatal(err)
		}
		s.wasRead(p)
	case n < 28:
		for _, key := range s.storage.set.Keys {
			s.exempt[key.ID] = true
		}
		if err := p.keys.Rotate(s.Context(), true); err != nil && !errors.Is(err, ErrLost) {
			s.Fatal(err)
		}
		s.revokedAt = s.real
		s.wasRead(p)
	case n < 30:
		if keys := s.storage.set.Keys; len(keys) > 0 {
			id := keys[s.rnd.IntN(len(keys))].ID
			s.storage.lost[id] = !s.storage.lost[id]
			s.exempt[id] = true
		}
	}
}

// sign has the process sign a token, and checks that its key was published for long enough.
func (s *simulation) sign(p *process) {
	if v := p.keys.view.Load(); v != p.view {
		token, err := p.keys.Sign(TypeAccessToken, struct{}{})
		if errors.Is(err, ErrStale) || errors.Is(err, ErrNoKey) {
			return
		}
		if err != nil {
			s.Fatal(err)
		}
		p.view, p.ids, p.kid = v, published(s, p.keys), keyID(s, token)
	} else if p.keys.checkFresh(v) != nil {
		return // as Sign does, which costs more
	}
	id := p.kid
	until := s.real + p.cfg.TokenTTL
	if !p.jumped {
		until += p.machine.offset + p.cfg.Leeway + time.Minute // leeway, and a clock that is behind
	}
	s.validUntil[id] = max(s.validUntil[id], until)
	if s.signed[id] {
		return
	}
	s.signed[id] = true
	least := 11 * time.Minute // every process has it within one, and ten after that
	if s.ends {
		least = 2 * time.Minute // in place of a lost key
	}
	if inStore := s.real - s.inStore[id]; !s.atOnce[id] && inStore < least {
		s.Errorf("at %v: key %s signs %v after it was stored", s.real, id, inStore)
	}
}

// check checks that each process that reads the storage publishes the keys of all tokens.
func (s *simulation) check() {
	for i, p := range s.processes {
		if s.real-p.lastRead > time.Minute {
			continue
		}
		ids := p.ids
		if p.keys.view.Load() != p.view {
			ids = published(s, p.keys)
		}
		for id, until := range s.validUntil {
			justRevoked := s.atOnce[id] && s.revokedAt > 0 && s.inStore[id] >= s.revokedAt && s.real-s.revokedAt < time.Minute
			if until <= s.real {
				delete(s.validUntil, id)
			} else if !ids[id] && !s.exempt[id] && !justRevoked {
				s.Errorf("at %v: process %d (started %v) does not publish %s, whose tokens are valid until %v\n%+v", s.real, i, p.started, id, until, p.keys.Status())
			}
		}
		if len(ids) == 0 && s.real-p.started > 0 && !s.anyLost() {
			s.Errorf("at %v: process %d publishes nothing", s.real, i)
		}
	}
}

func (s *simulation) anyLost() bool {
	for _, lost := range s.storage.lost {
		if lost {
			return true
		}
	}
	return false
}

// TestSchedules: whatever processes do and clocks show, a token is verified by what any
// process publishes that has read the storage within a minute, until it has expired,
// unless its key was lost or revoked.
func TestSchedules(t *testing.T) {
	rotations, signed := 0, 0
	for seed := range uint64(*schedules) {
		s := newSimulation(t, seed)
		for s.real < 12*time.Hour && !t.Failed() {
			s.real += time.Duration(s.rnd.Int64N(int64(10 * time.Second)))
			for _, p := range s.processes {
				if s.real >= p.nextRead {
					s.real = max(s.real, p.nextRead)
					s.maintain(p)
				}
			}
			s.disturb()
			for _, p := range s.processes {
				s.sign(p)
			}
			s.check()
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		rotations, signed = rotations+s.rotations, signed+len(s.signed)
	}
	if rotations < 5**schedules || signed < 4**schedules {
		t.Errorf("only %d keys were made, and %d signed", rotations, signed)
	}
	t.Logf("%d schedules: %d keys were made, %d signed", *schedules, rotations, signed)
}
