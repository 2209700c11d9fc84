package storecopy

import (
	"context"

	"keyward/store/filestore"
	"keyward/store/postgres"
)

// ToDatabase copies the files to an empty database: everything or, if the error is not
// store.ErrUncertain, nothing. Copying again after that error either does it, or the
// database is not empty any more, and has everything.
func ToDatabase(ctx context.Context, from Files, to *postgres.Store) (Copied, error) {
	var copied Copied
	files := named(from.records())
	if from.Audit == "" {
		return copied, from.fill(ctx, files, nil, to, &copied)
	}
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: from.Audit, FS: from.FS})
	for _, file := range files {
		log.WatchLines(file.kind, &file.lines)
	}
	for kind, changes := range from.Changes {
		log.Watch(kind, changes)
	}
	return copied, log.Hold(ctx, func(entries *filestore.HeldAudit) error {
		return from.fill(ctx, files, entries, to, &copied)
	})
}

// fill copies the files and, unless it is nil, the log.
func (f *Files) fill(ctx context.Context, files []*kindFile, log *filestore.HeldAudit, to *postgres.Store, copied *Copied) error {
	return lockAll(ctx, files, func() error {
		return to.Fill(ctx, f.Hasher, func(filling *postgres.Filling) error {
			for _, file := range files {
				n, err := filling.Records(file.kind, file.each)
				if err != nil {
					return err
				}
				*file.copied(copied) = n
			}
			var err error
			if copied.Usage, err = f.fillUsage(filling); err != nil || log == nil {
				return err
			}
			filling.Reserve(log.Last())
			copied.Audit, err = filling.Entries(log.Each)
			return err
		})
	})
}
