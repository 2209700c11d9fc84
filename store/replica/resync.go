package replica

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// silence is how long a snapshot may bring nothing before it is given up.
const silence = time.Minute

// resync begins all copies again with a snapshot. From before the first is changed until
// the last is durable, the files beside the copies say that it is due.
//
// A source that continues none of its own snapshots is asked less and less often: a
// snapshot reads every record.
func (p *Puller) resync(ctx context.Context, reason Reason) error {
	if p.inVain > 0 {
		p.pause(ctx, backoff(p.inVain-1, nil), nil)
	}
	p.inVain++
	p.cfg.Log.Warn("the copies of the store begin again with a snapshot", "reason", reason)
	began := p.cfg.Now()
	ctx, watch := watchSilence(ctx)
	defer watch.Stop()
	snapshot, err := p.cfg.Source.Snapshot(ctx)
	if err != nil {
		return silenceOr(ctx, err)
	}
	head, last := snapshot.Head()
	if last != nil && last.Seq != head.Last {
		return errors.Join(errOrder, snapshot.Close())
	}
	r := &rebuild{puller: p, from: snapshot, head: head, last: last, contact: began, watch: watch, accepted: p.accepts(ctx, head)}
	if err = r.mark(reason); err == nil {
		err = r.stage(ctx, p.copies)
	}
	err = errors.Join(err, snapshot.Close())
	if err != nil {
		return silenceOr(ctx, err)
	}
	if r.accepted {
		p.accept.Store(false)
	}
	p.at, p.digest = r.position()
	p.countLost()
	p.heardAt(began)
	p.update(func(s *Status) {
		s.Identity, s.Epoch, s.Applied, s.Last, s.Held = head.Identity, head.Epoch, p.at, head.Last, p.held()
		s.Resyncs[reason]++
	})
	p.cfg.Log.Info("the copies of the store have a snapshot", "reason", reason, "seq", p.at, "held", p.held(), "lost", p.Status().Lost.Total)
	return nil
}

var errSilence = fmt.Errorf("the snapshot brought nothing for %v", silence)

// watchSilence returns a context that ends unless the timer is reset in time.
func watchSilence(ctx context.Context) (context.Context, *time.Timer) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, time.AfterFunc(silence, func() { cancel(errSilence) })
}

func silenceOr(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilence) {
		return errors.Join(errSilence, err)
	}
	return err
}

// accepts reports whether an operator has accepted what the database says: here, or by an
// epoch that was never seen, in the history that the copies have. The history is compared
// after the snapshot has begun: before, another restore could come between.
func (p *Puller) accepts(ctx context.Context, head Head) bool {
	if p.accept.Load() {
		return true
	}
	for _, c := range p.copies {
		if !c.known || c.Identity != head.Identity || c.seenEpoch(head.Epoch) {
			return false
		}
	}
	page, err := p.readPage(ctx)
	return err == nil && page.Epoch == head.Epoch && p.compare(&page) == nil
}
