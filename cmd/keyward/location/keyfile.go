package location

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"keyward/apikey"
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/postgres/database"
)

// KeyFile has the flags that name the key file.
type KeyFile struct {
	File       string `placeholder:"FILE" help:"Key file (default keys.jsonl, or what --config names)."`
	Config     string `placeholder:"FILE" help:"Configuration that names the key file and the pepper."`
	PepperFile string `placeholder:"FILE" help:"Pepper with which the keys in the file are hashed."`
}

// FileKeys is a key file with the settings that the configuration has for it.
type FileKeys struct {
	*records
	env      *command.Env
	config   string // the configuration; "" is none
	path     string
	prefixes []string // "" allows any
	usage    string   // the usage file; "" is none
	inBasic  bool     // keys may stand in Basic credentials
	rules    store.KeyRules
}

var errNoKeyFile = errors.New("names no key file: keys.file is empty")

// Open opens the file for a command that works on files alone.
func (f *KeyFile) Open(env *command.Env, begin StartOver) (*FileKeys, error) {
	if err := onFiles(env, f.flags()...); err != nil {
		return nil, err
	}
	return f.openFile(env, begin)
}

func (f *KeyFile) openFile(env *command.Env, begin StartOver) (*FileKeys, error) {
	cfg := config.Default()
	k := &FileKeys{env: env, config: f.Config}
	if f.Config != "" {
		var err error
		if cfg, err = config.Load(f.Config, env.Getenv); err != nil {
			return nil, err
		}
		k.prefixes, k.rules.MaxAge, k.usage = cfg.Keys.Prefixes, cfg.Keys.MaxAge, cfg.Usage.File
		k.inBasic = cfg.Sources.KeysInBasic()
	}
	replace(cfg, &cfg.Keys.File, f.File)
	k.path = cfg.Keys.File
	if k.path == "" {
		return nil, fmt.Errorf("%s %w", f.Config, errNoKeyFile)
	}
	hasher, err := hasherOf(cfg, f.PepperFile)
	if err != nil {
		return nil, err
	}
	k.records, err = openRecords(env, cfg, hasher, begin)
	return k, err
}

// prefix returns the default prefix of a new key: the first one by which the
// server recognises a key.
func (k *FileKeys) prefix() string {
	if len(k.prefixes) == 0 {
		return config.Default().Keys.Prefixes[0]
	}
	for _, prefix := range k.prefixes {
		if prefix != "" {
			return prefix
		}
	}
	return ""
}

// Location implements KeyService.
func (k *FileKeys) Location() string { return k.in(k.path) }

// Close warns of changes that are not in the audit log.
func (k *FileKeys) Close() { k.close(k.env) }

// Explain adds the cause to an error, as far as the command knows it.
func (k *FileKeys) Explain(err error, id string) error {
	switch cause := CauseOf(err); {
	case errors.Is(cause, journal.ErrDamaged):
		return explainDamaged(cause)
	case errors.Is(cause, fileheader.ErrPepper), errors.Is(cause, database.ErrPepper):
		return explainPepper(cause)
	case errors.Is(cause, store.ErrNotFound) && k.missing(k.path):
		return fmt.Errorf("no key file %s", k.path)
	default:
		return ExplainKey(cause, id, k.Location())
	}
}

// ExplainKey adds to an error about a key which one it is, and where that was looked
// for.
func ExplainKey(err error, id, place string) error {
	switch {
	case id == "":
		return err
	case errors.Is(err, store.ErrNotFound) && len(id) > len(apikey.IDPrefix)+12:
		// It may be a key, which must not be printed.
		return fmt.Errorf("no such key %s: an id is k_ and 12 characters; `keyward key verify` prints the id of a key", place)
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("no key %s %s", id, place)
	case errors.Is(err, store.ErrUnsupported):
		return fmt.Errorf("key %s: %w", id, err)
	default:
		return err
	}
}

// noteOfPrefix warns of a key that the checks of the configuration would refuse.
func (k *FileKeys) noteOfPrefix(prefix string) {
	if len(k.prefixes) > 0 && !slices.Contains(k.prefixes, prefix) {
		k.env.Note("note: keys.prefixes in %s does not have %q: as a bearer token this key will be refused", k.config, prefix)
	}
}

// Compact rewrites the file without superseded and deleted records. It returns the file
// and how many lines are gone.
func (k *FileKeys) Compact(ctx context.Context) (path string, gone int, err error) {
	file, ok := k.keys.(*filestore.KeyFile)
	if !ok {
		return "", 0, errors.New("a database has no superseded lines: its journal is cut by store.keep")
	}
	gone, err = file.Compact(ctx)
	return k.path, gone, err
}
