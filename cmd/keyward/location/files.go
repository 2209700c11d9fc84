package location

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/store"
	"keyward/store/journal"
)

// StartOver has the flag of every command that writes a file.
type StartOver struct {
	StartOver bool `help:"Start a new file if the old one is empty or missing but had content before."`
}

// explainFile adds to an error about a file how to recover it, if it is damaged.
func explainFile(err error) error {
	if err = CauseOf(err); errors.Is(err, journal.ErrDamaged) {
		return explainDamaged(err)
	}
	return err
}

// explainDamaged adds to ErrDamaged how to recover the file.
func explainDamaged(err error) error {
	return fmt.Errorf("%w; restore it from a copy, or run a command that writes it with --start-over to begin a new one", err)
}

// AsUsage makes a usage error of an error about invalid arguments.
func AsUsage(err error) error {
	if errors.Is(err, store.ErrInvalid) {
		return command.UsageError(err)
	}
	return err
}

func isMissing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
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
	if *of(cfg) == "" && cfg.Store.URL == nil {
		return nil, fmt.Errorf("%s names no %s file: %s.file is empty", configFile, section, section)
	}
	return cfg, nil
}

// hasherOf returns the hasher of the secrets in the files of the configuration. Its
// pepper is that of --pepper-file, or the configuration's.
func hasherOf(cfg *config.Config, pepperFile string) (*apikey.Hasher, error) {
	if pepperFile == "" {
		pepperFile = cfg.Keys.PepperFile
	}
	if pepperFile == "" {
		return apikey.NewHasher(authz.Secret{}), nil
	}
	pepper, err := apikey.ReadPepper(pepperFile)
	if err != nil {
		return nil, cfg.HideEnv(err)
	}
	return apikey.NewHasher(pepper), nil
}

// explainPepper adds to fileheader.ErrPepper which flags name a pepper.
func explainPepper(err error) error {
	return fmt.Errorf("%w; give the file's pepper with --pepper-file, or --config", err)
}
