// Package decisionlog logs decisions: what was asked, what was decided and why.
// It logs no header and no query, since either may contain a credential.
package decisionlog

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"keyward/authz"
)

// Log writes one line per decision. It implements authz.Observer.
type Log struct {
	Logger *slog.Logger
	// Allowed logs allows too. Denials and errors are always logged.
	Allowed bool
	// Denials bounds the lines of denials per second. The first line of the
	// next second gives the number of suppressed lines.
	Denials LineLimit
}

// maxLogged bounds, in bytes, what a client can make the log hold of one of its
// strings.
const maxLogged = 512

// Observe implements authz.Observer.
func (l *Log) Observe(r *authz.Request, d *authz.Decision) {
	if d.Allowed() && !l.Allowed {
		return
	}
	var suppressed int64
	if !d.Allowed() {
		var ok bool
		if ok, suppressed = l.Denials.Allow(d.At); !ok {
			return
		}
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
		slog.String("method", truncate(r.Method)),
		slog.String("host", truncate(r.Host)),
		slog.String("path", truncate(r.PathAsSent())),
		slog.String("client", r.Client().Address().String()),
		slog.Int64("duration_us", d.Duration.Microseconds()),
	)
	attrs = appendNonEmpty(attrs, "id", d.ID)
	attrs = appendNonEmpty(attrs, "request_id", truncate(r.RequestID))
	if d.Route != nil {
		attrs = append(attrs, slog.String("route", d.Route.String()))
	}
	if d.Principal != nil {
		attrs = append(attrs, slog.String("auth_method", d.Principal.AuthMethod.String()))
		attrs = appendNonEmpty(attrs, "subject", d.Principal.Subject())
		attrs = appendNonEmpty(attrs, "client_id", d.Principal.ClientID)
		attrs = appendNonEmpty(attrs, "key_id", d.Principal.KeyID)
	}
	if d.Quota.Refused {
		attrs = append(attrs, slog.String("limit", d.Quota.Name))
	}
	if d.Cause != nil {
		attrs = append(attrs, slog.String("cause", d.Cause.Error()))
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Int64("suppressed", suppressed))
	}
	l.Logger.LogAttrs(context.Background(), level, "decision", attrs...)
}

func appendNonEmpty(attrs []slog.Attr, name, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(name, value))
}

func truncate(s string) string { return s[:min(len(s), maxLogged)] }

// LineLimit bounds the log lines of one kind per second, so that a client
// cannot fill a disk by causing them. It is safe for concurrent use.
type LineLimit struct {
	PerSecond int // 0: no limit

	second, lines atomic.Int64 // second is in seconds since 1970; lines counts those of that second
}

// Allow reports whether another line may be written in the second of now. For
// the first line of a second, suppressed is the number of lines suppressed in
// the last second that had any.
func (l *LineLimit) Allow(now time.Time) (ok bool, suppressed int64) {
	if l.PerSecond == 0 {
		return true, 0
	}
	if now, second := now.Unix(), l.second.Load(); now != second && l.second.CompareAndSwap(second, now) {
		return true, max(0, l.lines.Swap(1)-int64(l.PerSecond))
	}
	return l.lines.Add(1) <= int64(l.PerSecond), 0
}
