package engine

import (
	"fmt"

	"keyward/config"
	"keyward/filewatch"
	"keyward/reuse"
	"keyward/verifier"
	"keyward/verifier/tokensource"
)

// keySourceID is what makes the keys of two issuers the same ones.
type keySourceID struct{ name, issuer, url, jwks, secret string }

func keySourceIDOf(t *config.JWT) keySourceID {
	id := keySourceID{name: t.Name, url: t.JWKSURL, jwks: t.JWKSFile, secret: t.HMACSecretFile}
	if t.UsesDiscovery() {
		id.issuer = t.Issuer
	}
	return id
}

// keySource is where the keys of an issuer's tokens are found: a file, or a server
// that is asked over the network. What was loaded stays in force where a reload
// names the same source.
type keySource struct {
	verifier.KeySource
	file    *tokensource.File   // nil if remote
	remote  *tokensource.Remote // nil if a file
	changes *filewatch.Debounced
}

// Close ends what asks over the network.
func (s *keySource) Close() error {
	if s.remote == nil {
		return nil
	}
	return s.remote.Close()
}

// openKeySources opens the sources that the configuration names.
func (s *Snapshot) openKeySources(old *reuse.Generation) error {
	s.keySources = map[keySourceID]*keySource{}
	for i := range s.cfg.JWT {
		id := keySourceIDOf(&s.cfg.JWT[i])
		if s.keySources[id] != nil {
			continue
		}
		source, err := reuse.Or(&s.generation, old, id, id, func() (*keySource, error) { return s.env.openKeySource(id) })
		if err != nil {
			return fmt.Errorf("jwt %s: %w", id.name, err)
		}
		s.keySources[id] = source
	}
	return nil
}

func (e *environment) openKeySource(id keySourceID) (*keySource, error) {
	var observer tokensource.Observer
	if e.metrics.issuers != nil {
		observer = e.metrics.issuers.Of(id.name)
	}
	path := id.jwks + id.secret // one of them is empty
	if path == "" {
		remote, err := tokensource.NewRemote(tokensource.RemoteConfig{
			Name: id.name, Issuer: id.issuer, JWKSURL: id.url, Log: e.logger, Observer: observer,
		})
		return &keySource{KeySource: remote, remote: remote}, err
	}
	s := &keySource{changes: filewatch.NewDebounced(path)}
	if id.secret != "" {
		s.file = tokensource.NewSecretFile(path, e.logger, observer)
	} else {
		s.file = tokensource.NewJWKSFile(path, e.logger, observer)
	}
	s.KeySource = s.file
	return s, nil
}

// read reads the file again.
func (s *keySource) read() {
	s.changes.Loading()
	s.file.Reload()
}

// pollFiles reads the key files again that have changed and are no longer being
// written.
func (s *Snapshot) pollFiles() {
	for _, source := range s.keySources {
		if source.file != nil && source.changes.Changed() {
			source.read()
		}
	}
}

// reloadFiles reads all files again, as SIGHUP asks.
func (s *Snapshot) reloadFiles() {
	s.stores.reload()
	s.console.files.reload()
	for _, source := range s.keySources {
		if source.file != nil {
			source.read()
		}
	}
}

// keySourcesReady returns which file has no keys in force. An issuer that is
// unavailable is not a reason: only its own tokens cannot be verified.
func (s *Snapshot) keySourcesReady() error {
	for id, source := range s.keySources {
		if source.file != nil {
			if err := source.file.Ready(); err != nil {
				return fmt.Errorf("jwt %s: %w", id.name, err)
			}
		}
	}
	return nil
}
