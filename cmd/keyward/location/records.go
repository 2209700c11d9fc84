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
	"keyward/store/filestore"

	"keyward/cmd/keyward/command"
)

// records are the files of a configuration, with the Service by which the commands
// change them.
type records struct {
	keys        *filestore.KeyFile        // nil: the configuration names none
	users       *filestore.UserFile       // nil: it names none
	revocations *filestore.RevocationFile // nil: it names none
	log         *filestore.AuditFile      // nil: changes leave no entry

	*manage.Service
	operator access.Actor
}

// openRecords opens the files that the configuration names. All of them are opened for a
// change of one: the audit log closes what an earlier command left, whichever file it
// changed.
func openRecords(env *command.Env, cfg *config.Config, hasher *apikey.Hasher, begin StartOver) *records {
	r := &records{operator: operator(user.Current, os.Hostname)}
	stores := manage.Stores{}
	if cfg.Audit.File != "" {
		r.log = filestore.NewAuditFile(filestore.AuditFileConfig{Path: cfg.Audit.File, Keep: cfg.Audit.Keep, StartOver: begin.StartOver, Now: env.Now})
		stores.Audit = r.log
		changes := state.File{Path: cfg.State.File}
		r.log.Watch("link", changes)
		r.log.Watch("session", changes)
	}
	if cfg.Keys.File != "" {
		r.keys = filestore.NewKeyFile(filestore.KeyFileConfig{Path: cfg.Keys.File, Hasher: hasher, StartOver: begin.StartOver, Now: env.Now})
		stores.Keys, stores.KeyEditor = r.keys, r.keys.Editor(r.log)
	}
	if cfg.Users.File != "" {
		r.users = filestore.NewUserFile(filestore.UserFileConfig{Path: cfg.Users.File, StartOver: begin.StartOver})
		stores.Users, stores.UserEditor = r.users, r.users.Editor(r.log)
	}
	if cfg.Revocations.File != "" {
		r.revocations = filestore.NewRevocationFile(filestore.RevocationFileConfig{Path: cfg.Revocations.File, StartOver: begin.StartOver})
		stores.RevocationEditor = r.revocations.Editor(r.log)
	}
	if cfg.Projects.File != "" {
		projects := filestore.NewProjectFile(filestore.ProjectFileConfig{Path: cfg.Projects.File, StartOver: begin.StartOver})
		stores.ProjectReader, stores.ProjectEditor = projects, projects.Editor(r.log)
	}
	if cfg.Clients.File != "" {
		clients := filestore.NewClientFile(filestore.ClientFileConfig{Path: cfg.Clients.File, Hasher: hasher, StartOver: begin.StartOver})
		stores.ClientReader, stores.ClientEditor = clients, clients.Editor(r.log)
	}
	r.Service = manage.New(manage.Config{
		Stores: stores, Hasher: hasher, Now: env.Now,
		HashPassword: func(_ context.Context, password authz.Secret) (string, error) {
			return passwordhash.Hash(rand.Reader, password)
		},
	})
	return r
}

// ServiceOf returns the Service over the files of a configuration, and the actor that
// the command is.
func ServiceOf(env *command.Env, cfg *config.Config) (*manage.Service, access.Actor) {
	r := openRecords(env, cfg, apikey.NewHasher(authz.Secret{}), StartOver{})
	return r.Service, r.operator
}

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

// replace puts the path that --file has in place of the configuration's. Changes of
// another file are not in the configuration's audit log: its next writer would look
// for them in the file that the configuration names, and close them as not done.
func replace(cfg *config.Config, path *string, file string) {
	if file == "" {
		return
	}
	if !samePath(file, *path) {
		cfg.Audit.File = ""
	}
	*path = file
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
