package server

import (
	"errors"
	"fmt"
	"log/slog"

	"keyward/admin"
	"keyward/config"
	"keyward/verifier"
	"keyward/verifier/tokensource"
)

// issuers are the places where the keys of tokens are found. They outlive a
// Core: what was loaded stays where a reload names the same place.
type issuers struct {
	places map[keyPlace]*keySource
}

// keyPlace is what makes two issuers' keys the same ones.
type keyPlace struct{ name, issuer, url, jwks, secret string }

func keyPlaceOf(t *config.JWT) keyPlace {
	place := keyPlace{name: t.Name, url: t.JWKSURL, jwks: t.JWKSFile, secret: t.HMACSecretFile}
	if t.Discovered() {
		place.issuer = t.Issuer
	}
	return place
}

// keySource is one place: a file or something to be asked over the network.
type keySource struct {
	verifier.KeySource
	file     *tokensource.File // nil where it is none
	remote   *tokensource.Remote
	settling *settling
	seen     fileState // of the file, before it was last read
}

// openIssuers returns the places that the configuration names, those of old
// that stay among them; old may be nil. On an error what was opened is closed.
func openIssuers(cfg *config.Config, old *issuers, metrics *admin.IssuerMetrics, logger *slog.Logger) (*issuers, error) {
	all := &issuers{places: map[keyPlace]*keySource{}}
	for i := range cfg.JWT {
		place := keyPlaceOf(&cfg.JWT[i])
		if old != nil && old.places[place] != nil {
			all.places[place] = old.places[place]
			continue
		}
		source, err := openKeys(place, metrics, logger)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("jwt %s: %w", place.name, err), all.closeBut(old))
		}
		all.places[place] = source
	}
	return all, nil
}

func openKeys(place keyPlace, metrics *admin.IssuerMetrics, logger *slog.Logger) (*keySource, error) {
	var observer tokensource.Observer
	if metrics != nil {
		observer = metrics.Of(place.name)
	}
	path := place.jwks + place.secret // one of them is empty
	if path == "" {
		remote, err := tokensource.NewRemote(tokensource.RemoteConfig{
			Name: place.name, Issuer: place.issuer, JWKSURL: place.url, Log: logger, Observer: observer,
		})
		return &keySource{KeySource: remote, remote: remote}, err
	}
	s := &keySource{settling: newSettling(path), seen: stateOf(path)}
	if place.secret != "" {
		s.file = tokensource.NewSecretFile(path, logger, observer)
	} else {
		s.file = tokensource.NewJWKSFile(path, logger, observer)
	}
	s.KeySource = s.file
	return s, nil
}

// look reads the files anew that have changed and are no longer being written.
func (s *issuers) look() {
	for _, source := range s.places {
		if source.file != nil && source.settling.changedFrom(source.seen) {
			source.read()
		}
	}
}

// reload reads all files anew, as SIGHUP asks.
func (s *issuers) reload() {
	for _, source := range s.places {
		if source.file != nil {
			source.read()
		}
	}
}

func (s *keySource) read() {
	s.seen = stateOf(s.file.Path())
	s.file.Reload()
}

// ready tells which file has no keys in force. An issuer that is away makes
// nobody not ready: its tokens alone can't be judged.
func (s *issuers) ready() error {
	for place, source := range s.places {
		if source.file != nil {
			if err := source.file.Ready(); err != nil {
				return fmt.Errorf("jwt %s: %w", place.name, err)
			}
		}
	}
	return nil
}

// closeBut closes all places but those that the other, which may be nil, has too.
func (s *issuers) closeBut(other *issuers) error {
	var errs []error
	for place, source := range s.places {
		if source.remote != nil && (other == nil || other.places[place] != source) {
			errs = append(errs, source.remote.Close())
		}
	}
	return errors.Join(errs...)
}
