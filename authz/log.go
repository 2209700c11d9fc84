package authz

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// DecisionLog writes one line a decision. It implements Observer.
type DecisionLog struct {
	Logger *slog.Logger
	// Allowed logs allows too; denials and errors always are.
	Allowed bool
	// DenialsPerSecond bounds the lines of denials, so that nobody fills a disk by
	// being denied. How many went unsaid the next second's first tells. 0 is no bound.
	DenialsPerSecond int

	second, denials atomic.Int64 // denials in that second, in seconds since 1970
}

// maxLogged bounds what a client can make us write of one of its strings.
const maxLogged = 512

// Observe implements Observer. The line holds no header and no query, since
// either may hold a credential.
func (l *DecisionLog) Observe(r *Request, d *Decision) {
	if d.Allowed() && !l.Allowed {
		return
	}
	room, unsaid := l.room(d)
	if !room {
		return
	}
	level := slog.LevelInfo
	if d.Outcome() == "error" {
		level = slog.LevelError
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("decision", d.Outcome()),
		slog.String("reason", d.Reason.String()),
		slog.Int("status", d.Status()),
		slog.String("transport", r.Transport.String()),
		slog.String("method", clip(r.Method)),
		slog.String("host", clip(r.Host)),
		slog.String("path", clip(r.PathAsSent())),
		slog.String("client", r.Client().Address().String()),
		slog.Int64("duration_us", d.Took.Microseconds()),
	)
	attrs = appendKnown(attrs, "id", d.ID)
	attrs = appendKnown(attrs, "request_id", clip(r.RequestID))
	if d.Route != nil {
		attrs = append(attrs, slog.String("route", d.Route.String()))
	}
	if d.Principal != nil {
		attrs = append(attrs, slog.String("auth_method", d.Principal.Method.String()))
		attrs = appendKnown(attrs, "subject", d.Principal.Subject())
		attrs = appendKnown(attrs, "client_id", d.Principal.ClientID)
		attrs = appendKnown(attrs, "key_id", d.Principal.KeyID)
	}
	if d.Quota.Refused {
		attrs = append(attrs, slog.String("limit", d.Quota.Name))
	}
	if d.Cause != nil {
		attrs = append(attrs, slog.String("cause", d.Cause.Error()))
	}
	if unsaid > 0 {
		attrs = append(attrs, slog.Int64("unsaid", unsaid))
	}
	l.Logger.LogAttrs(context.Background(), level, "decision", attrs...)
}

// room tells whether the second has room for another denial, and with its
// first how many there was none for in the second before.
func (l *DecisionLog) room(d *Decision) (ok bool, unsaid int64) {
	if d.Allowed() || l.DenialsPerSecond == 0 {
		return true, 0
	}
	if now, second := d.At.Unix(), l.second.Load(); now != second && l.second.CompareAndSwap(second, now) {
		return true, max(0, l.denials.Swap(1)-int64(l.DenialsPerSecond))
	}
	return l.denials.Add(1) <= int64(l.DenialsPerSecond), 0
}

func appendKnown(attrs []slog.Attr, name, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(name, value))
}

func clip(s string) string { return s[:min(len(s), maxLogged)] }
