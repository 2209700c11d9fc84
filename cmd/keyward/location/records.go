package location

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/passwordhash"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/postgres"
	"keyward/store/postgres/database"

	"keyward/cmd/keyward/command"
)

// records are those of a configuration, in files or in a database, with the Service by
// which the commands change them.
type records struct {
	keys  store.KeyReader  // nil: the configuration names none
	users store.UserReader // nil: it names none
	log   auditLog         // nil: changes leave no entry
	db    *database.DB     // nil: the records are in files

	*manage.Service
	operator access.Actor
}

// auditLog is an audit log that may lack changes.
type auditLog interface {
	store.AuditLog
	// Unwritten returns how many changes were made that have no entry, and why.
	Unwritten() (entries int, why error)
}

// openRecords opens the records of the configuration. Without a hasher no secret can be
// made or found.
func openRecords(env *command.Env, cfg *config.Config, hasher *apikey.Hasher, begin StartOver) (*records, error) {
	r := &records{operator: Operator()}
	var stores manage.Stores
	if cfg.Store.URL != nil {
		var err error
		if stores, err = r.openDatabase(env, cfg, hasher); err != nil {
			return nil, err
		}
	} else {
		if hasher == nil {
			hasher = apikey.NewHasher(authz.Secret{})
		}
		stores = r.openFiles(env, cfg, hasher, begin)
	}
	r.Service = manage.New(manage.Config{
		Stores: stores, Hasher: hasher, Now: env.Now,
		HashPassword: func(_ context.Context, password authz.Secret) (string, error) {
			return passwordhash.Hash(rand.Reader, password)
		},
	})
	return r, nil
}

// openFiles opens the files that the configuration names. All of them are opened for a
// change of one: the audit log closes what an earlier command left, whichever file it
// changed.
func (r *records) openFiles(env *command.Env, cfg *config.Config, hasher *apikey.Hasher, begin StartOver) (stores manage.Stores) {
	var log *filestore.AuditFile
	if cfg.Audit.File != "" {
		log = filestore.NewAuditFile(filestore.AuditFileConfig{Path: cfg.Audit.File, Keep: cfg.Audit.Keep, StartOver: begin.StartOver, Now: env.Now})
		r.log, stores.Audit = log, log
		changes := state.File{Path: cfg.State.File}
		log.Watch("link", changes)
		log.Watch("session", changes)
		log.Watch("consent", changes)
	}
	if cfg.Keys.File != "" {
		keys := filestore.NewKeyFile(filestore.KeyFileConfig{Path: cfg.Keys.File, Hasher: hasher, StartOver: begin.StartOver, Now: env.Now})
		r.keys, stores.Keys, stores.KeyEditor = keys, keys, keys.Editor(log)
	}
	if cfg.Users.File != "" {
		users := filestore.NewUserFile(filestore.UserFileConfig{Path: cfg.Users.File, StartOver: begin.StartOver})
		r.users, stores.Users, stores.UserEditor = users, users, users.Editor(log)
	}
	if cfg.Revocations.File != "" {
		revocations := filestore.NewRevocationFile(filestore.RevocationFileConfig{Path: cfg.Revocations.File, StartOver: begin.StartOver})
		stores.RevocationEditor = revocations.Editor(log)
	}
	if cfg.Projects.File != "" {
		projects := filestore.NewProjectFile(filestore.ProjectFileConfig{Path: cfg.Projects.File, StartOver: begin.StartOver})
		stores.ProjectReader, stores.ProjectEditor = projects, projects.Editor(log)
	}
	if cfg.Clients.File != "" {
		clients := filestore.NewClientFile(filestore.ClientFileConfig{Path: cfg.Clients.File, Hasher: hasher, StartOver: begin.StartOver})
		stores.ClientReader, stores.ClientEditor = clients, clients.Editor(log)
	}
	return stores
}

// openDatabase opens the database that the configuration names.
func (r *records) openDatabase(env *command.Env, cfg *config.Config, hasher *apikey.Hasher) (manage.Stores, error) {
	var err error
	r.db, err = database.Open(database.Config{URL: *cfg.Store.URL, PasswordFile: cfg.Store.PasswordFile, Hasher: hasher})
	if err != nil {
		return manage.Stores{}, err
	}
	all := postgres.New(postgres.Config{DB: r.db, Now: env.Now})
	r.keys, r.users, r.log = all.Keys(), all.Users(), all.Audit()
	return manage.StoresOf(all, all.Audit()), nil
}

// missing reports whether the records of the file are not there: a database has all
// kinds.
func (r *records) missing(path string) bool { return r.db == nil && isMissing(path) }

// in returns where the records of the file are, as it stands in messages.
func (r *records) in(path string) string {
	if r.db != nil {
		return "in the database"
	}
	return "in " + path
}

// close ends the work, and warns of changes that are not in the audit log.
func (r *records) close(env *command.Env) {
	r.noteUnwritten(env)
	if r.db != nil {
		r.db.Close()
	}
}

// Operator is the actor that the command is.
func Operator() access.Actor { return operator(user.Current, os.Hostname) }

// operator is who runs the command, as the system names the user and the machine: by
// number where the user has no name, and without a name as unknown.
func operator(current func() (*user.User, error), hostname func() (string, error)) access.Actor {
	name := fmt.Sprint("uid-", os.Getuid())
	// Where the system has no name for the number, as in a container, package os/user
	// takes $USER, which anyone can set.
	if said, set := os.LookupEnv("USER"); set {
		_ = os.Unsetenv("USER")
		defer func() { _ = os.Setenv("USER", said) }()
	}
	if u, err := current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	return access.CLI(name, host)
}

// noteUnwritten warns of a change that was made without its entry in the audit log.
// The process ends before the log can be written again.
func (r *records) noteUnwritten(env *command.Env) {
	if r.log == nil {
		return
	}
	if n, why := r.log.Unwritten(); n > 0 {
		env.Note("note: the change was made without an entry in the audit log, since it only ends something: %v", why)
	}
}

// replace puts the path that --file has in place of the configuration's, or of its
// database. Changes of
// another file are not in the configuration's audit log: its next writer would look
// for them in the file that the configuration names, and close them as not done.
func replace(cfg *config.Config, path *string, file string) {
	if file == "" {
		return
	}
	if !samePath(file, *path) {
		cfg.Audit.File = ""
	}
	*path, cfg.Store.URL = file, nil
}

func samePath(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	if errA == nil && errB == nil && absA == absB {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// CauseOf returns why a change was refused in the words of the commands, which is the
// store's error where there is one.
func CauseOf(err error) error {
	var e *fault.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e.Cause != nil:
		return e.Cause
	default:
		return errors.New(e.Detail)
	}
}
