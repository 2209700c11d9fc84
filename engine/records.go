package engine

import (
	"context"
	"fmt"
	"sync"

	"keyward/config"
	"keyward/engine/central"
	"keyward/manage"
	"keyward/manage/refusals"
	"keyward/manage/state"
	"keyward/reuse"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/postgres/upkeep"
)

// managedRecords are the records that managing reads and changes, in files or in the
// central store.
type managedRecords struct {
	manage.Stores
	refused *refusals.Counts // of calls, which are written to the audit log
}

func (s *Snapshot) openRecords(old *reuse.Generation) (managedRecords, error) {
	if s.central != nil {
		return s.openCentralRecords(old)
	}
	return s.openFileRecords(old)
}

// upkeepConfig is what the upkeep of the central store is started by.
type upkeepConfig struct {
	central *central.Store
	keep    upkeep.Keep
}

// openCentralRecords returns the records in the central store.
func (s *Snapshot) openCentralRecords(old *reuse.Generation) (managedRecords, error) {
	records := s.central.Records
	refused, err := reuse.Or(&s.generation, old, "refusals", s.central, func() (*refusals.Counts, error) {
		counts := refusals.New(nil)
		counts.Start(records.Audit(), s.env.logger)
		return counts, nil
	})
	if err != nil {
		return managedRecords{}, err
	}
	keep := upkeepConfig{s.central, upkeep.Keep{Journal: s.cfg.Store.Keep, Audit: s.cfg.Audit.Keep}}
	_, err = reuse.Or(&s.generation, old, "upkeep", keep, func() (*central.Upkeep, error) { return keep.central.StartUpkeep(keep.keep), nil })
	if err != nil {
		return managedRecords{}, err
	}
	changes := s.console.state.DB
	records.Audit().Watch("link", changes)
	records.Audit().Watch("session", changes)
	records.Audit().Watch("consent", changes)
	return managedRecords{Stores: manage.StoresOf(records, records.Audit()), refused: refused}, nil
}

// audited is the audit log in a file, with the counts of refused calls that are written
// to it.
type audited struct {
	*filestore.AuditFile
	refused *refusals.Counts

	stop context.CancelFunc // of reading in the background
	done *sync.WaitGroup
}

// Close writes what was counted, and frees the memory.
func (a audited) Close() error {
	a.stop()
	a.done.Wait()
	err := a.refused.Close()
	a.Release()
	return err
}

func (e *environment) openAudit(cfg config.Audit) (audited, error) {
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: cfg.File, Keep: cfg.Keep, Log: e.logger})
	ctx, stop := context.WithCancel(context.Background())
	a := audited{log, refusals.New(nil), stop, new(sync.WaitGroup)}
	a.done.Go(func() { _ = log.LoadIndex(ctx) }) // an error is one of the request that meets it
	a.refused.Start(log, e.logger)
	return a, nil
}

// openFileRecords returns the records in files.
func (s *Snapshot) openFileRecords(old *reuse.Generation) (managedRecords, error) {
	// A reload keeps what the log could not write yet.
	log, err := reuse.Or(&s.generation, old, "audit log", s.cfg.Audit, func() (audited, error) { return s.env.openAudit(s.cfg.Audit) })
	if err != nil {
		return managedRecords{}, fmt.Errorf("audit: %w", err)
	}
	changes := state.File{Path: s.cfg.State.File}
	log.Watch("link", changes)
	log.Watch("session", changes)
	log.Watch("consent", changes)
	files, err := s.openManagedFiles(old)
	if err != nil {
		return managedRecords{}, err
	}
	s.console.files = files
	if last := s.lastUse(); last != nil {
		files.done.Go(func() { _, _ = last() }) // the first page need not wait for the index
	}
	return managedRecords{Stores: s.fileStores(files, log.AuditFile), refused: log.refused}, nil
}

// fileStores are the files that managing changes. The log knows all of them: it closes
// what a command left that died, whichever file it changed.
func (s *Snapshot) fileStores(files *managedFiles, log *filestore.AuditFile) manage.Stores {
	stores := manage.Stores{Keys: files.keys, KeyEditor: files.keys.Editor(log), Users: files.users, UserEditor: files.users.Editor(log), Audit: log}
	if path := s.cfg.Revocations.File; path != "" {
		revocations := filestore.NewRevocationFile(filestore.RevocationFileConfig{Path: path})
		stores.Revocations, stores.RevocationEditor = revocations, revocations.Editor(log)
	}
	if path := s.cfg.Projects.File; path != "" {
		projects := filestore.NewProjectFile(filestore.ProjectFileConfig{Path: path})
		stores.ProjectReader, stores.ProjectEditor = projects, projects.Editor(log)
	}
	if path := s.cfg.Clients.File; path != "" {
		clients := filestore.NewClientFile(filestore.ClientFileConfig{Path: path, Hasher: s.stores.keys.hasher})
		stores.ClientReader, stores.ClientEditor = clients, clients.Editor(log)
	}
	return stores
}

var _ store.AuditLog = audited{}
