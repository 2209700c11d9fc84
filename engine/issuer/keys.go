// Package issuer has the keys by which this Keyward signs tokens, and by which its checks
// verify them: what the configuration says of them, made once and kept up to date.
package issuer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"keyward/config"
	"keyward/manage/signingkeys"
	"keyward/manage/signingkeys/pgkeys"
	"keyward/reuse"
	"keyward/store/postgres/database"
	"keyward/verifier/jwks"
)

// name is that of the component in a generation.
const name = "issuer"

// How often the keys are read, and how long after that this process may sign: the same in all
// processes of one store. The files of one machine are read more often, so that a new key waits
// a shorter time.
const (
	readFiles, readDatabase = 5 * time.Second, time.Minute
	staleAfter              = 10 * time.Minute
	// firstRead bounds how long a start waits for the database.
	firstRead = 3 * time.Second
)

// Keys are the issuer's keys. They are a verifier.KeySource. A process starts without its
// database: until that was read once, none of them is known.
type Keys struct {
	keys atomic.Pointer[signingkeys.Keys] // nil: not read yet
	set  atomic.Pointer[jwks.Set]
	last []byte // the document of the set
	log  *slog.Logger
	stop context.CancelFunc
	done sync.WaitGroup
}

var errNotRead = errors.New("the signing keys have not been read yet")

// inputs are what Keys are made of.
type inputs struct {
	config.Issuer
	db *database.DB // nil: files
}

// openKeys returns the issuer's keys; those of old are kept unless the configuration says
// something else of them. db is nil without a central store.
func openKeys(next, old *reuse.Generation, cfg *config.Issuer, db *database.DB, log *slog.Logger) (*Keys, error) {
	return reuse.Or(next, old, name, inputs{*cfg, db}, func() (*Keys, error) { return open(cfg, db, log) })
}

func open(cfg *config.Issuer, db *database.DB, log *slog.Logger) (*Keys, error) {
	settings, err := SigningKeys(cfg, db)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	k := &Keys{log: log, stop: stop}
	reading, cancel := ctx, context.CancelFunc(func() {})
	if db != nil {
		reading, cancel = context.WithTimeout(ctx, firstRead)
	}
	defer cancel()
	switch err := k.read(reading, settings); {
	case err != nil && db == nil:
		stop()
		return nil, err
	case err != nil:
		log.Error("issuer: no tokens are signed or accepted until the signing keys can be read", "error", err)
	}
	k.done.Go(func() { k.maintain(ctx, settings) })
	return k, nil
}

// read reads the keys for the first time.
func (k *Keys) read(ctx context.Context, settings signingkeys.Config) error {
	keys, err := signingkeys.Open(ctx, settings)
	if err != nil {
		return err
	}
	k.keys.Store(keys)
	return k.publish(keys)
}

// SigningKeys are the settings of the issuer's keys, which are the same in all processes of one
// store and in commands. db is nil without a central store.
func SigningKeys(cfg *config.Issuer, db *database.DB) (signingkeys.Config, error) {
	storage, every, err := storageOf(cfg, db)
	return signingkeys.Config{
		Storage: storage, Algorithm: signingkeys.Algorithm(cfg.Algorithm), PublishBefore: cfg.PublishBefore, RotateEvery: cfg.RotateEvery, TokenTTL: cfg.AccessTTL,
		ReadEvery: every, MaxStaleness: staleAfter,
	}, err
}

func storageOf(cfg *config.Issuer, db *database.DB) (signingkeys.Storage, time.Duration, error) {
	if db == nil {
		directory, err := signingkeys.OpenDirectory(cfg.KeysDir)
		return directory, readFiles, err
	}
	secret, err := pgkeys.ReadSecret(cfg.KeysSecretFile)
	if err != nil {
		return nil, 0, err
	}
	storage, err := pgkeys.New(pgkeys.Config{Database: db, Secret: secret})
	return storage, readDatabase, err
}

// maintain keeps the keys up to date until ctx ends.
func (k *Keys) maintain(ctx context.Context, settings signingkeys.Config) {
	for k.due(ctx, settings.ReadEvery) {
		var err error
		if keys := k.keys.Load(); keys == nil {
			err = k.read(ctx, settings)
		} else {
			err = errors.Join(keys.Maintain(ctx), k.publish(keys))
		}
		if err != nil && ctx.Err() == nil {
			k.log.Error("issuer: the signing keys are not up to date", "error", err)
		}
	}
}

// due waits until the keys are to be read, and reports whether ctx goes on. They are read early
// if they were not read before, and as soon as they become too old to sign, as after the machine
// was suspended or its clock was set.
func (k *Keys) due(ctx context.Context, every time.Duration) bool {
	const precision = 100 * time.Millisecond
	tick := time.NewTicker(precision)
	defer tick.Stop()
	began, failing := time.Now(), !k.fresh()
	if failing {
		every = min(every, readFiles)
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if time.Since(began) >= every || !failing && !k.fresh() {
			return true
		}
	}
}

// fresh reports whether the keys were read recently enough to sign.
func (k *Keys) fresh() bool {
	keys := k.keys.Load()
	return keys != nil && keys.Fresh() == nil
}

// publish has the checks verify by the keys that are published now. Tokens that were verified
// before are verified again where these have changed.
func (k *Keys) publish(keys *signingkeys.Keys) error {
	document := keys.Public()
	if bytes.Equal(document, k.last) {
		return nil
	}
	set, err := jwks.Parse(document)
	if err == nil {
		k.set.Store(set)
		k.last = document
	}
	return err
}

// Sign implements oauth.Signer.
func (k *Keys) Sign(typ string, claims any) (string, error) {
	keys := k.keys.Load()
	if keys == nil {
		return "", errNotRead
	}
	return keys.Sign(typ, claims)
}

// SigningKey implements protocol.KeySet.
func (k *Keys) SigningKey() (signingkeys.Key, error) {
	keys := k.keys.Load()
	if keys == nil {
		return signingkeys.Key{}, errNotRead
	}
	return keys.SigningKey()
}

// Public is the JWKS document; nil until the keys were read.
func (k *Keys) Public() []byte {
	keys := k.keys.Load()
	if keys == nil {
		return nil
	}
	return keys.Public()
}

// age is that of the key that signs; zero for none.
func (k *Keys) age() time.Duration {
	keys := k.keys.Load()
	if keys == nil {
		return 0
	}
	return keys.Age()
}

// Find implements verifier.KeySource.
func (k *Keys) Find(_ context.Context, q jwks.Query, _ time.Time) ([]*jwks.Key, error) {
	set := k.set.Load()
	if set == nil {
		return nil, errNotRead
	}
	return set.Find(q)
}

// Contains implements verifier.KeySource.
func (k *Keys) Contains(key *jwks.Key) bool {
	set := k.set.Load()
	return set != nil && set.Contains(key)
}

// Close ends the maintenance.
func (k *Keys) Close() error {
	k.stop()
	k.done.Wait()
	return nil
}
