package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/bench/report"
)

// start measures the start on one core, and the memory before and after every
// key was used.
func (b *bench) start() error {
	base, err := b.withoutKeys()
	if err != nil {
		return err
	}
	c, err := process.Start(process.Config{Binary: b.binary, Dir: filepath.Join(b.dir, "b"), KeyFile: b.large.Path, Procs: 1})
	if err != nil {
		return err
	}
	n := len(b.large.Secrets)
	b.row("ready on one core with %s keys", report.Count(n), c.Ready.Round(time.Millisecond))
	idle, err := c.Resident()
	if err != nil {
		return err
	}
	b.row("resident bytes per key once ready (%d MiB without keys)", base>>20, (idle-base)/int64(n))
	cl, err := loadgen.Dial(c.Socket, 4)
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := cl.Run(context.Background(), loadgen.Load{Workers: 64, Span: 10 * time.Second, Pick: credential.AnyKey(b.large.Secrets)}); err != nil {
		return err
	}
	used, err := c.Resident()
	b.row("resident bytes per key after ten seconds of saturation", (used-base)/int64(n))
	return errors.Join(err, c.Stop())
}

// withoutKeys returns the resident memory of a server just started, with so few
// keys that their memory is negligible.
func (b *bench) withoutKeys() (int64, error) {
	empty, err := process.Start(process.Config{Binary: b.binary, Dir: filepath.Join(b.dir, "empty"), KeyFile: b.small.Path, Procs: 1})
	if err != nil {
		return 0, err
	}
	base, err := empty.Resident()
	return base, errors.Join(err, empty.Stop())
}
