package records

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/journal"

	"keyward/cmd/keyward/command"
)

// keyFile has the flags that name the key file.
type keyFile struct {
	File       string `placeholder:"FILE" help:"Key file (default keys.jsonl, or what --config names)."`
	Config     string `placeholder:"FILE" help:"Configuration that names the key file and the pepper."`
	PepperFile string `placeholder:"FILE" help:"Pepper with which the keys in the file are hashed."`
}

// keys is a key file with the settings that the configuration has for it.
type keys struct {
	*filestore.KeyFile
	records  *records
	hasher   *apikey.Hasher
	path     string
	prefixes []string // "" allows any
	usage    string   // the usage file; "" is none
	inBasic  bool     // keys may stand in Basic credentials
	rules    store.KeyRules
}

var errNoKeyFile = errors.New("names no key file: keys.file is empty")

// startOver has the flag of every command that writes a file.
type startOver struct {
	StartOver bool `help:"Start a new file if the old one is empty or missing but had content before."`
}

// writtenKeyFile is a key file that the command writes.
type writtenKeyFile struct {
	keyFile
	startOver
}

func (f writtenKeyFile) open(env *command.Env) (*keys, error) {
	return f.keyFile.openWith(env, f.startOver)
}

func (f keyFile) open(env *command.Env) (*keys, error) { return f.openWith(env, startOver{}) }

func (f keyFile) openWith(env *command.Env, begin startOver) (*keys, error) {
	cfg := config.Default()
	k := &keys{}
	if f.Config != "" {
		var err error
		if cfg, err = config.Load(f.Config, env.Getenv); err != nil {
			return nil, err
		}
		k.prefixes, k.rules.MaxAge, k.usage = cfg.Keys.Prefixes, cfg.Keys.MaxAge, cfg.Usage.File
		k.inBasic = len(cfg.BasicKeyUsernames) > 0
	}
	replace(cfg, &cfg.Keys.File, f.File)
	k.path = cfg.Keys.File
	if k.path == "" {
		return nil, fmt.Errorf("%s %w", f.Config, errNoKeyFile)
	}
	pepperFile := cfg.Keys.PepperFile
	if f.PepperFile != "" {
		pepperFile = f.PepperFile
	}
	var pepper authz.Secret
	if pepperFile != "" {
		var err error
		if pepper, err = apikey.ReadPepper(pepperFile); err != nil {
			return nil, cfg.HideEnv(err)
		}
	}
	k.hasher = apikey.NewHasher(pepper)
	k.records = openRecords(env, cfg, k.hasher, begin)
	k.KeyFile = k.records.keys
	return k, nil
}

// openWithUsers is open for commands that show states: a key is revoked when
// its user is deleted.
func (f keyFile) openWithUsers(env *command.Env) (*keys, error) {
	k, err := f.open(env)
	if err != nil || k.records.users == nil {
		return k, err
	}
	if k.rules.Ended, err = k.records.users.Ended(env.Context); err != nil {
		env.Note("note: cannot tell which keys ended with their users: %v", err)
	}
	return k, nil
}

const idLen = len("k_") + 12

// explain adds the cause to an error, as far as the command knows it.
func (k *keys) explain(err error, id string) error {
	switch err = causeOf(err); {
	case errors.Is(err, journal.ErrDamaged):
		return explainDamaged(err)
	case errors.Is(err, filestore.ErrPepper):
		return fmt.Errorf("%w; give the file's pepper with --pepper-file, or --config", err)
	case errors.Is(err, store.ErrNotFound) && isMissing(k.path):
		return fmt.Errorf("no key file %s", k.path)
	case errors.Is(err, store.ErrNotFound) && len(id) > idLen:
		// It may be a key, which must not be printed.
		return fmt.Errorf("no such key in %s: an id is k_ and 12 characters; `keyward key verify` prints the id of a key", k.path)
	case errors.Is(err, store.ErrNotFound) && id != "":
		return fmt.Errorf("no key %s in %s", id, k.path)
	case errors.Is(err, store.ErrUnsupported) && id != "":
		return fmt.Errorf("key %s: %w", id, err)
	default:
		return err
	}
}

// explainDamaged adds to ErrDamaged how to recover the file.
func explainDamaged(err error) error {
	return fmt.Errorf("%w; restore it from a copy, or run a command that writes it with --start-over to begin a new one", err)
}

// asUsage makes a usage error of an error about invalid arguments.
func asUsage(err error) error {
	if errors.Is(err, store.ErrInvalid) {
		return command.UsageError(err)
	}
	return err
}

func isMissing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// userFile has the flags that name the users file.
type userFile struct {
	File   string `placeholder:"FILE" help:"Users file (default users.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the users file."`
}

// users is a users file.
type users struct {
	*filestore.UserFile
	records *records
	path    string
}

// writtenUserFile is a users file that the command writes.
type writtenUserFile struct {
	userFile
	startOver
}

func (f writtenUserFile) open(env *command.Env) (*users, error) {
	return f.userFile.openWith(env, f.startOver)
}

func (f userFile) open(env *command.Env) (*users, error) { return f.openWith(env, startOver{}) }

func (f userFile) openWith(env *command.Env, begin startOver) (*users, error) {
	cfg, err := configOf(env, "users", f.File, f.Config, func(cfg *config.Config) *string { return &cfg.Users.File })
	if err != nil {
		return nil, err
	}
	r := openRecords(env, cfg, apikey.NewHasher(authz.Secret{}), begin)
	return &users{r.users, r, cfg.Users.File}, nil
}

// configOf returns the configuration of a command that works on the file of one
// section, with what --file says in place of that file.
func configOf(env *command.Env, section, file, configFile string, of func(*config.Config) *string) (*config.Config, error) {
	cfg := config.Default()
	*of(cfg) = section + ".jsonl"
	if configFile != "" {
		var err error
		if cfg, err = config.Load(configFile, env.Getenv); err != nil {
			return nil, err
		}
	}
	replace(cfg, of(cfg), file)
	if *of(cfg) == "" {
		return nil, fmt.Errorf("%s names no %s file: %s.file is empty", configFile, section, section)
	}
	return cfg, nil
}

func (u *users) explain(err error, name string) error {
	switch err = causeOf(err); {
	case errors.Is(err, journal.ErrDamaged):
		return explainDamaged(err)
	case errors.Is(err, store.ErrNotFound) && isMissing(u.path):
		return fmt.Errorf("no users file %s", u.path)
	case errors.Is(err, store.ErrNotFound) && name != "":
		return fmt.Errorf("no user %s in %s", command.Quoted(name), u.path)
	case errors.Is(err, store.ErrUnsupported) && name != "":
		return fmt.Errorf("user %s: %w", command.Quoted(name), err)
	default:
		return err
	}
}

// revocationsFile has the flags that name the revocations file.
type revocationsFile struct {
	File   string `placeholder:"FILE" help:"Revocations file (default revocations.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the revocations file."`
	startOver
}

func (f revocationsFile) open(env *command.Env) (*records, error) {
	cfg, err := configOf(env, "revocations", f.File, f.Config, func(cfg *config.Config) *string { return &cfg.Revocations.File })
	if err != nil {
		return nil, err
	}
	return openRecords(env, cfg, apikey.NewHasher(authz.Secret{}), f.startOver), nil
}
