package signingkeys

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

// memory is a Storage whose faults tests make.
type memory struct {
	set       Set
	lost      map[string]bool
	fail      error // of each call
	failStore error
	answer    bool // a failing Store replaces the set
	stores    int
}

var errDown = errors.New("the storage does not answer")

func (m *memory) Load(context.Context) (Set, error) {
	if m.fail != nil {
		return Set{}, m.fail
	}
	set := m.set.clone()
	for i := range set.Keys {
		if key := &set.Keys[i]; m.lost[key.ID] {
			key.Private, key.Lost = nil, errors.New("removed by the test")
		}
	}
	return set, nil
}

func (m *memory) Store(_ context.Context, expected int64, set Set) error {
	if m.fail != nil {
		return m.fail
	}
	if expected != m.set.Version {
		return ErrConflict
	}
	if m.failStore != nil && !m.answer {
		return m.failStore
	}
	m.stores++
	stored := set.clone()
	for i := range stored.Keys {
		key := &stored.Keys[i]
		if key.Private == nil { // keeps what is stored of it
			key.Private, key.Lost = m.set.byID(key.ID).Private, nil
		}
		text, err := json.Marshal(key.Record)
		if err != nil {
			return err
		}
		key.Record = Record{}
		if err := json.Unmarshal(text, &key.Record); err != nil {
			return err
		}
	}
	m.set = stored
	return m.failStore
}

// machine is a machine of a test. Its wall clock may differ from the real time.
type machine struct {
	real   *time.Duration // since start, the same for all machines
	offset time.Duration
}

var start = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func (m *machine) now() time.Time { return start.Add(*m.real + m.offset) }

// fixture is one process on a storage in memory.
type fixture struct {
	*Keys
	t       *testing.T
	storage *memory
	machine *machine
	cfg     Config
}

// config has short times: a key signs for two hours, and its tokens are valid for one.
func config(storage Storage, m *machine) Config {
	return Config{
		Storage: storage, Algorithm: EdDSA, PublishBefore: 10 * time.Minute, RotateEvery: 2 * time.Hour, TokenTTL: time.Hour,
		Now: m.now, Monotonic: func() time.Duration { return *m.real },
	}
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, storage: &memory{lost: map[string]bool{}}, machine: &machine{real: new(time.Duration)}}
	f.cfg = config(f.storage, f.machine)
	f.restart()
	return f
}

// other returns another process on the storage.
func (f *fixture) other() *fixture {
	f.t.Helper()
	o := *f
	o.machine = &machine{real: f.machine.real}
	o.cfg.Now = o.machine.now
	o.restart()
	return &o
}

func (f *fixture) restart() {
	f.t.Helper()
	keys, err := Open(f.t.Context(), f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Keys = keys
}

// run has time pass, with a Maintain each minute.
func (f *fixture) run(d time.Duration) {
	f.t.Helper()
	for ; d > 0; d -= time.Minute {
		*f.machine.real += min(d, time.Minute)
		f.maintain()
	}
}

func (f *fixture) maintain() {
	f.t.Helper()
	if err := f.Maintain(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// signsWith returns the id of the key that signs.
func (f *fixture) signsWith() string {
	f.t.Helper()
	token, err := f.Sign(TypeJWT, map[string]string{"sub": "ada"})
	if err != nil {
		f.t.Fatal(err)
	}
	return keyID(f.t, token)
}

// keyID returns the kid of a token.
func keyID(t testing.TB, token string) string {
	t.Helper()
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	var header struct {
		KeyID string `json:"kid"`
	}
	if err := errors.Join(err, json.Unmarshal(text, &header)); err != nil {
		t.Fatal(err)
	}
	return header.KeyID
}

// published returns the ids of the keys in the JWKS.
func published(t testing.TB, k *Keys) map[string]bool {
	t.Helper()
	var document struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(k.Public(), &document); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, key := range document.Keys {
		ids[key.ID] = true
	}
	return ids
}

func (f *fixture) wantPublished(when string, ids ...string) {
	f.t.Helper()
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	if got := published(f.t, f.Keys); !maps.Equal(got, want) {
		f.t.Errorf("%s: published %v, want %v", when, got, want)
	}
}

// inState returns the id of the key in the state.
func (f *fixture) inState(state State) string {
	for _, s := range f.Status() {
		if s.State == state {
			return s.ID
		}
	}
	return ""
}
