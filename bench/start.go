package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"
)

// start measures the start on one core, and memory before and after every key was used.
func (b *bench) start() error {
	base, err := b.withoutKeys()
	if err != nil {
		return err
	}
	c, err := startChild(b.binary, filepath.Join(b.dir, "b"), b.large, 1)
	if err != nil {
		return err
	}
	n := len(b.large.secrets)
	b.row("ready on one core with %s keys", count(n), c.ready.Round(time.Millisecond))
	idle, err := c.resident()
	if err != nil {
		return err
	}
	b.row("resident bytes per key once ready (%d MiB without keys)", base>>20, (idle-base)/int64(n))
	cl, err := dial(c, 4)
	if err != nil {
		return err
	}
	defer cl.close()
	if _, err := cl.run(context.Background(), load{workers: 64, span: 10 * time.Second, pick: anyKey(b.large.secrets)}); err != nil {
		return err
	}
	used, err := c.resident()
	b.row("resident bytes per key after ten seconds of saturation", (used-base)/int64(n))
	return errors.Join(err, c.stop())
}

// withoutKeys is the resident memory of a server just started, with so few keys that they do not count.
func (b *bench) withoutKeys() (int64, error) {
	empty, err := startChild(b.binary, filepath.Join(b.dir, "empty"), b.small, 1)
	if err != nil {
		return 0, err
	}
	base, err := empty.resident()
	return base, errors.Join(err, empty.stop())
}
