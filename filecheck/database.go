package filecheck

import (
	"context"
	"errors"
	"time"

	"keyward/config"
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
	err = source.New(db).Probe(ctx)
	if errors.Is(err, source.ErrPooler) {
		c.warnings = append(c.warnings, config.Problem{File: c.cfg.File, Message: "store.url: " + err.Error()})
		return nil
	}
	return err
}
