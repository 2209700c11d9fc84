package server

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyward/admin"
	"keyward/config"
	"keyward/store/journal"
	"keyward/verifier/admission"
	"keyward/verifier/password"
)

// parts are what a Core rests on and does not make itself: what follows files
// and asks issuers. A reload keeps those whose share of the configuration is the same.
type parts struct {
	stores  *stores
	issuers *issuers
	hashing *hashing        // nil while no passwords were wanted yet
	gate    *admission.Gate // of tokens' signatures; a reload forgets no client's failures
	usage   *keyUsage       // nil where no server counts
	limits  *limits         // nil where no server counts
	tracing *tracer         // nil if tracing is off
	logger  *slog.Logger
}

// surroundings are what parts have of the server they run in; the zero value is none.
type surroundings struct {
	keys, users, revocations journal.Observer // told how following the files goes
	issuers                  *admin.IssuerMetrics
	spans                    *admin.SpanMetrics
	hashCommand              password.Command
	version                  string
	counts                   bool // use of keys, and requests
}

// leave says of the files that the configuration does not name that nobody
// follows them: one that is not there can't be stale.
func (s *surroundings) leave(cfg storeConfig) {
	for _, file := range []struct {
		name string
		told journal.Observer
	}{{cfg.keys.file, s.keys}, {cfg.users, s.users}, {cfg.revocations, s.revocations}} {
		if file.name == "" && file.told != nil {
			file.told.Succeeded(time.Time{})
		}
	}
}

// openParts opens what the configuration names and takes over from old what
// stays. On an error what was opened is closed.
func openParts(cfg *config.Config, old parts, outside surroundings, logger *slog.Logger) (parts, error) {
	p := parts{logger: logger, gate: old.gate}
	if p.gate == nil {
		p.gate = admission.New(admission.Config{})
	}
	var err error
	if p.stores, err = openStores(storeConfigOf(cfg), old.stores, outside, logger); err != nil {
		return parts{}, err
	}
	if p.issuers, err = openIssuers(cfg, old.issuers, outside.issuers, logger); err != nil {
		return parts{}, errors.Join(err, p.closeBut(old))
	}
	if p.hashing, err = hashingFor(cfg, old.hashing, outside.hashCommand, logger); err != nil {
		return parts{}, errors.Join(err, p.closeBut(old))
	}
	if !outside.counts {
		return p, nil
	}
	if p.limits, err = limitsFor(cfg, old.limits, logger); err != nil {
		return parts{}, errors.Join(fmt.Errorf("rate_limits: %w", err), p.closeBut(old))
	}
	if p.tracing, err = tracerFor(cfg.Tracing, old.tracing, outside, logger); err != nil {
		return parts{}, errors.Join(fmt.Errorf("tracing: %w", err), p.closeBut(old))
	}
	p.usage = usageFor(cfg, old.usage, logger)
	return p, nil
}

// ready tells why some requests can't be judged.
func (p parts) ready() error {
	if err := p.stores.ready(); err != nil {
		return err
	}
	return p.issuers.ready()
}

// look notices files that nobody follows.
func (p parts) look() { p.issuers.look() }

// reload has all files read anew, as SIGHUP asks.
func (p parts) reload() {
	p.stores.reload()
	p.issuers.reload()
}

// closeBut closes the parts that the other does not share.
func (p parts) closeBut(other parts) error {
	var errs []error
	if p.stores != nil {
		errs = append(errs, p.stores.closeBut(other.stores))
	}
	if p.issuers != nil {
		errs = append(errs, p.issuers.closeBut(other.issuers))
	}
	if p.hashing != nil && p.hashing != other.hashing {
		p.hashing.close()
	}
	if p.limits != nil && p.limits != other.limits {
		errs = append(errs, p.limits.close())
	}
	if p.usage != nil && p.usage != other.usage {
		errs = append(errs, p.usage.Close())
	}
	if p.tracing != nil && p.tracing != other.tracing {
		errs = append(errs, p.tracing.Close())
	}
	return errors.Join(errs...)
}

func (p parts) close() error { return p.closeBut(parts{}) }
