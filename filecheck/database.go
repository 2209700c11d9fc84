package filecheck

import (
	"context"
	"errors"
	"time"

	"keyward/config"
	"keyward/manage/signingkeys/pgkeys"
	"keyward/store/postgres/database"
	"keyward/store/postgres/source"
)

// databaseTimeout bounds the check of a database that does not answer.
const databaseTimeout = 15 * time.Second

// database returns the error that keeps a server or a command from using the central
// store, and warns where changes in it are not notified.
func (c *check) database() error {
	hasher, err := c.hasher()
	if err != nil {
		return nil // it is reported at the pepper file's own line
	}
	db, err := database.Open(database.Config{URL: *c.cfg.Store.URL, PasswordFile: c.cfg.Store.PasswordFile, Hasher: hasher})
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	if err := db.Check(ctx); err != nil {
		return err
	}
	if err := c.sealedKeys(ctx, db); err != nil {
		return err
	}
	err = source.New(db).Probe(ctx)
	if errors.Is(err, source.ErrPooler) {
		c.warnings = append(c.warnings, config.Problem{File: c.cfg.File, Message: "store.url: " + err.Error()})
		return nil
	}
	return err
}

// sealedKeys returns the error that keeps an issuer from reading the signing keys in the
// database.
func (c *check) sealedKeys(ctx context.Context, db *database.DB) error {
	if !c.cfg.OwnIssuer() {
		return nil
	}
	secret, err := pgkeys.ReadSecret(c.cfg.Issuer.KeysSecretFile)
	if err != nil {
		return nil // it is reported at the file's own line
	}
	storage, err := pgkeys.New(pgkeys.Config{Database: db, Secret: secret})
	if err == nil {
		_, err = storage.Load(ctx)
	}
	return err
}
