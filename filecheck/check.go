// Package filecheck finds what is wrong with the files that a configuration names, before
// a server or a command uses them. It changes none of them.
package filecheck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/keyindex"
	"keyward/manage/signingkeys"
	"keyward/manage/signingkeys/pgkeys"
	"keyward/server"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/journal"
	"keyward/verifier/jwks"
)

// Missing opens the named files, except those that are created on demand, and returns
// those that cannot be opened.
func Missing(cfg *config.Config) (found config.Problems) {
	for _, file := range cfg.Files {
		var err error
		if isCopy(cfg, file) {
			continue
		}
		switch file.Key {
		case "usage.file", "revocations.file", "projects.file", "clients.file", "audit.file", "state.file", "issuer.keys_dir":
		case "keys.pepper_file":
			_, err = apikey.ReadPepper(file.Path)
		default:
			err = readable(file.Path)
		}
		if err != nil {
			found = append(found, file.Problem(cfg.File, err))
		}
	}
	return found
}

// isCopy reports whether the server makes the file, as a copy of what the central store
// has.
func isCopy(cfg *config.Config, file config.File) bool {
	switch file.Key {
	case "keys.file", "users.file", "revocations.file", "clients.file":
		return cfg.Store.URL != nil
	default:
		return false
	}
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// Check reads the named files as a starting server and the commands do, and returns
// what keeps them from using a file, and what they leave out.
func Check(cfg *config.Config) (problems, warnings config.Problems) {
	c := &check{cfg: cfg}
	for _, file := range cfg.Files {
		if isCopy(cfg, file) && errors.Is(readable(file.Path), fs.ErrNotExist) {
			continue
		}
		if err := c.file(file); err != nil {
			problems = append(problems, file.Problem(cfg.File, err))
		}
	}
	if cfg.Store.URL != nil {
		if err := c.database(); err != nil {
			problems = append(problems, config.Problem{File: cfg.File, Message: fmt.Sprintf("store: %v", cfg.HideEnv(err))})
		}
	}
	return problems, c.warnings
}

// check is the check of one configuration's files.
type check struct {
	cfg      *config.Config
	warnings config.Problems
}

func (c *check) warn(file config.File, format string, args ...any) {
	c.warnings = append(c.warnings, file.Problem(c.cfg.File, fmt.Errorf(format, args...)))
}

// file returns the error that keeps a server or a command from using the file.
func (c *check) file(file config.File) error {
	switch file.Key {
	case "keys.file":
		return c.keys(file)
	case "keys.pepper_file":
		_, err := apikey.ReadPepper(file.Path)
		return err
	case "users.file":
		return load(filestore.UserFeed{FollowConfig: journal.FollowConfig{Path: file.Path}}, keyindex.NewUsers())
	case "revocations.file":
		// The first revocation makes the file.
		return load(filestore.RevocationFeed{FollowConfig: journal.FollowConfig{Path: file.Path, MissingOK: true}}, keyindex.NewRevocations())
	case "projects.file":
		_, _, err := filestore.NewProjectFile(filestore.ProjectFileConfig{Path: file.Path}).List(context.Background(), store.ProjectFilter{}, store.Page{})
		return err
	case "clients.file":
		return c.clients(file)
	case "audit.file":
		_, _, err := filestore.NewAuditFile(filestore.AuditFileConfig{Path: file.Path}).List(context.Background(), store.AuditFilter{}, store.Page{Limit: 1})
		return err
	case "usage.file", "state.file": // made on demand
		if err := readable(file.Path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	case "jwt.jwks_file":
		return c.keySet(file)
	case "jwt.hmac_secret_file":
		return c.secret(file)
	case "issuer.keys_dir":
		return c.signingKeys(file)
	case "issuer.keys_secret_file":
		_, err := pgkeys.ReadSecret(file.Path)
		return err
	case "introspection.client_secret_file", "console.oidc.client_secret_file", "store.password_file":
		text, err := os.ReadFile(file.Path)
		if err == nil && strings.TrimRight(string(text), "\r\n") == "" {
			err = errors.New("the file is empty")
		}
		return err
	default:
		if !strings.HasPrefix(file.Key, "tls.") {
			return errors.New("no check exists for this file") // a key of config without its case here
		}
		return c.certificate(file)
	}
}

// keys reads the key file with the pepper.
func (c *check) keys(file config.File) error {
	hasher, err := c.hasher()
	if err != nil {
		return readable(file.Path)
	}
	feed := filestore.KeyFeed{Hasher: hasher, FollowConfig: journal.FollowConfig{Path: file.Path}}
	return load(feed, keyindex.NewKeys())
}

// clients reads the file of OAuth clients with the pepper, if the file is there.
func (c *check) clients(file config.File) error {
	hasher, err := c.hasher()
	if err != nil {
		return nil
	}
	_, _, err = filestore.NewClientFile(filestore.ClientFileConfig{Path: file.Path, Hasher: hasher}).List(context.Background(), store.ClientFilter{}, store.Page{})
	return err
}

// signingKeys reads the directory of the issuer's keys, if it is there. A lost key ends its
// tokens, and not the server.
func (c *check) signingKeys(file config.File) error {
	if _, err := os.Stat(file.Path); errors.Is(err, fs.ErrNotExist) {
		return nil // the first start makes it
	}
	directory, err := signingkeys.OpenDirectory(file.Path)
	if err != nil {
		return err
	}
	set, err := directory.Load(context.Background())
	if err != nil {
		return err
	}
	if set.Damaged != nil {
		c.warn(file, "%w", set.Damaged)
	}
	for i := range set.Keys {
		if key := &set.Keys[i]; key.Lost != nil {
			c.warn(file, "signing key %s: %w", key.ID, key.Lost)
		}
	}
	return nil
}

// hasher returns what hashes secrets with the pepper. An error of the pepper file is
// reported at that file's own line.
func (c *check) hasher() (*apikey.Hasher, error) {
	if c.cfg.Keys.PepperFile == "" {
		return apikey.NewHasher(authz.Secret{}), nil
	}
	pepper, err := apikey.ReadPepper(c.cfg.Keys.PepperFile)
	return apikey.NewHasher(pepper), err
}

// load reads all records of a feed, as a server does at its start.
func load[R any](feed store.Feed[R], into interface {
	store.Sink[R]
	Ready() error
}) error {
	follower, err := feed.Follow(into)
	if err != nil {
		return err
	}
	return errors.Join(into.Ready(), follower.Close())
}

// keySet checks that a file of keys has what the issuers that name it need.
func (c *check) keySet(file config.File) error {
	text, err := os.ReadFile(file.Path)
	if err != nil {
		return err
	}
	set, err := jwks.ParseFile(text)
	if err != nil {
		return err
	}
	for _, ignored := range set.Ignored() {
		c.warn(file, "left out: %s", ignored)
	}
	return c.serves(file, set, func(t *config.JWT) bool { return t.JWKSFile == file.Path }, false)
}

// secret checks that an HMAC secret suits the algorithms that use it.
func (c *check) secret(file config.File) error {
	text, err := os.ReadFile(file.Path)
	if err != nil {
		return err
	}
	set, err := jwks.ParseSecret(authz.NewSecret(string(text)))
	if err != nil {
		return err
	}
	return c.serves(file, set, func(t *config.JWT) bool { return t.HMACSecretFile == file.Path }, true)
}

// serves looks for a key for each algorithm (all), or for at least one of them.
func (c *check) serves(file config.File, set *jwks.Set, named func(*config.JWT) bool, all bool) error {
	for i := range c.cfg.JWT {
		t := &c.cfg.JWT[i]
		if !named(t) {
			continue
		}
		var without []string
		for _, algorithm := range t.Algorithms {
			// Only keys that have no ids fit a token with an id that is not known.
			_, err := set.Find(jwks.Query{ID: "any", HasID: true, Algorithm: algorithm})
			if errors.Is(err, jwks.ErrManyKeys) && t.RequireKid {
				c.warn(file, "several keys fit %s and have no kid, so issuer %s's tokens with that algorithm are refused; set require_kid: false to try each key", algorithm, t.Name)
			}
			if _, err := set.Find(jwks.Query{Algorithm: algorithm}); errors.Is(err, jwks.ErrNoKey) {
				without = append(without, algorithm)
			}
		}
		if len(without) == len(t.Algorithms) || all && len(without) > 0 {
			return fmt.Errorf("no key in it can be used with %s", strings.Join(without, ", "))
		}
	}
	return nil
}

// certificate reads a file of tls, once even if several listeners name it.
func (c *check) certificate(file config.File) error {
	listener, which, _ := strings.Cut(strings.TrimPrefix(file.Key, "tls."), ".")
	pair := map[string]config.KeyPair{"grpc": c.cfg.TLS.GRPC, "http": c.cfg.TLS.HTTP, "admin": c.cfg.TLS.Admin, "console": c.cfg.TLS.Console, "issuer": c.cfg.TLS.Issuer}[listener]
	switch which {
	case "cert_file":
		pair.ClientCAFile = ""
		return server.CheckTLS(pair)
	case "client_ca_file":
		if err := server.CheckTLS(config.KeyPair{CertFile: pair.CertFile, KeyFile: pair.KeyFile}); err != nil {
			return readable(file.Path) // its other errors are reported at its own line
		}
		return server.CheckTLS(pair)
	default:
		return readable(file.Path)
	}
}
