package engine

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"keyward/admin"
	"keyward/engine/central"
	"keyward/keyindex"
	"keyward/reuse"
	"keyward/store/postgres/database"
	"keyward/store/replica"
)

// centralConfig is what the central store is opened by: beside its address, the files in
// force that are its copies.
type centralConfig struct {
	url, passwordFile, clients string
	maxStaleness               time.Duration

	keys        *keyFile
	users       *followed[*keyindex.Users]
	revocations *followed[*keyindex.Revocations]
	followed    *followed[*keyindex.Clients]
}

// openCentral begins to copy the central store into the files that the stores follow.
func (s *Snapshot) openCentral(old *reuse.Generation) (err error) {
	cfg := s.cfg
	if cfg.Store.URL == nil {
		return nil
	}
	inputs := centralConfig{
		cfg.Store.URL.String(), cfg.Store.PasswordFile, cfg.Clients.File, cfg.Store.MaxStaleness, s.stores.keys, s.stores.users, s.stores.revocations, s.stores.clients,
	}
	s.central, err = reuse.Or(&s.generation, old, "store", inputs, func() (*central.Store, error) {
		// What restricts others is in force before what it restricts.
		files := []replica.File{
			{Kind: replica.Revocations, Path: cfg.Revocations.File}, {Kind: replica.Users, Path: cfg.Users.File},
			{Kind: replica.Clients, Path: cfg.Clients.File}, {Kind: replica.Keys, Path: cfg.Keys.File},
		}
		if cfg.Clients.File == "" {
			files = append(files[:2], files[3])
		}
		following := s.stores
		return central.Open(central.Config{
			Database: database.Config{URL: *cfg.Store.URL, PasswordFile: cfg.Store.PasswordFile, Hasher: s.stores.keys.hasher},
			Name:     replicaName(cfg.Keys.File), Files: files, MaxStaleness: cfg.Store.MaxStaleness, Log: s.env.logger,
			InForce: following.await, Suspend: following.suspend,
		})
	})
	return err
}

// replicaName is that of this machine with the file, since several Keywards of a machine
// may have copies of their own.
func replicaName(keys string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if path, err := filepath.Abs(keys); err == nil {
		keys = path
	}
	return host + ":" + keys
}

// await returns nil once all that the file with records of the kind had before the call
// is in force.
func (s *stores) await(ctx context.Context, kind replica.Kind) error {
	switch kind {
	case replica.Keys:
		return s.keys.await(ctx)
	case replica.Users:
		return s.users.await(ctx)
	case replica.Revocations:
		return s.revocations.await(ctx)
	case replica.Clients:
		return s.clients.await(ctx)
	default:
		return nil // checks do not ask about records of the kind
	}
}

// suspend has keys, users and clients denied, or ends that.
func (s *stores) suspend(suspend bool) {
	clients := s.clientRecords()
	if suspend {
		s.keys.records.Suspend()
		s.users.records.Suspend()
		if clients != nil {
			clients.Suspend()
		}
		return
	}
	if clients != nil && clients.Resume() {
		s.clients.reload()
	}
	s.keys.records.Resume()
	if s.users.records.Resume() {
		s.users.reload()
	}
}

// CentralStore implements admin.State.
func (e *Engine) CentralStore() *admin.StoreState {
	s := e.Current().central
	if s == nil {
		return nil
	}
	status := s.Status()
	state := &admin.StoreState{Up: status.Up, Contact: status.Contact, Applied: status.Applied, Resyncs: map[string]uint64{}}
	for _, reason := range replica.Reasons() {
		state.Resyncs[string(reason)] = status.Resyncs[reason]
	}
	return state
}
