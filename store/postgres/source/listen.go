package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrPooler is a connection through a pooler in transaction mode, which no notification
// reaches: changes are found by polling alone.
var ErrPooler = errors.New("no notification arrives: the connection seems to go through a pooler in transaction mode; name the database itself in store.url, or changes are in force only with the next poll")

const (
	channel      = "keyward_journal"
	probeTimeout = 2 * time.Second
	minListen    = 250 * time.Millisecond // between two attempts to connect
	maxListen    = 30 * time.Second
)

// Wake implements replica.Source.
func (j *Journal) Wake() <-chan struct{} { return j.wake }

// Listen has Wake receive when the journal grows, on a connection of its own, until ctx
// ends. down is called with why no notification arrives, and with nil when they do.
func (j *Journal) Listen(ctx context.Context, down func(error)) {
	for pause := minListen; ctx.Err() == nil; {
		began := time.Now()
		err := j.listen(ctx, down)
		if ctx.Err() != nil {
			return
		}
		down(err)
		j.ring() // something may have been missed
		if time.Since(began) > maxListen {
			pause = minListen
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, maxListen)
	}
}

func (j *Journal) ring() {
	select {
	case j.wake <- struct{}{}:
	default: // it was rung already
	}
}

// Probe returns why notifications of the database would not arrive: [ErrPooler], or
// that the database is unavailable.
func (j *Journal) Probe(ctx context.Context) error {
	conn, err := j.db.Dedicated(ctx)
	if err != nil {
		return failed(ctx, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return j.probe(ctx, conn)
}

// listen is one connection of Listen.
func (j *Journal) listen(ctx context.Context, down func(error)) error {
	conn, err := j.db.Dedicated(ctx)
	if err != nil {
		return failed(ctx, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := j.probe(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return failed(ctx, err)
	}
	down(nil)
	for j.ring(); ; j.ring() {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return failed(ctx, err)
		}
	}
}

// probe sends a notification by another connection, to a channel of its own. A pooler in
// transaction mode takes LISTEN and forwards none.
func (j *Journal) probe(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	name := fmt.Sprintf("keyward_probe_%d_%d", conn.PgConn().PID(), rand.Uint64())
	if _, err := conn.Exec(ctx, "LISTEN "+name); err != nil {
		return failed(ctx, err)
	}
	if _, err := j.db.Pool.Exec(ctx, "SELECT pg_notify($1::text, '')", name); err != nil {
		return failed(ctx, err)
	}
	if _, err := conn.WaitForNotification(ctx); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return ErrPooler
		}
		return failed(ctx, err)
	}
	_, err := conn.Exec(ctx, "UNLISTEN "+name)
	return failed(ctx, err)
}
