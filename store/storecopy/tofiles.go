package storecopy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"keyward/store/filestore"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/postgres"
)

// ErrNotEmpty is a file of a target that has content.
var ErrNotEmpty = errors.New("the file is not empty")

// errNoFile is what a database has for which the target has no file.
var errNoFile = errors.New("the configuration names no file for it")

// ToFiles copies a database to files that are empty or missing. If it is interrupted, some
// of them may be there. Then copying again begins again, as long as nothing else was
// written to them.
func ToFiles(ctx context.Context, from *postgres.Store, to Files) (Copied, error) {
	var copied Copied
	err := from.Dump(ctx, to.Hasher, func(d *postgres.Dump) error {
		w := &filesWriter{to: to, from: d, copied: &copied, records: to.records()}
		w.audit = to.file("", "audit", to.Audit, fileheader.Audit(), func(c *Copied) *int { return &c.Audit })
		w.files = named(append([]*kindFile{w.audit}, w.records...))
		if err := w.refuseUnnamed(); err != nil {
			return err
		}
		return lockAll(ctx, w.files, func() error { return w.write(ctx) })
	})
	return copied, err
}

// filesWriter writes the files of a target.
type filesWriter struct {
	to      Files
	from    *postgres.Dump
	copied  *Copied
	audit   *kindFile
	records []*kindFile
	files   []*kindFile // that are named, the log first
}

// refuseUnnamed returns errNoFile if something would be lost.
func (w *filesWriter) refuseUnnamed() error {
	if len(w.files) == 0 {
		return fmt.Errorf("keys: %w", errNoFile)
	}
	for _, file := range append([]*kindFile{w.audit}, w.records...) {
		if file.lines.Path != "" {
			continue
		}
		err := w.each(file, func([]byte) error {
			return fmt.Errorf("the database has something for %s.file: %w", file.plural, errNoFile)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each calls visit for each line that the file is to have.
func (w *filesWriter) each(file *kindFile, visit func(line []byte) error) error {
	if file == w.audit {
		return w.from.Entries(visit)
	}
	return w.from.Records(file.kind, visit)
}

// write writes drafts of all files, and then puts them in their places.
func (w *filesWriter) write(ctx context.Context) error {
	begun, err := w.begin()
	if err != nil {
		return err
	}
	drafts := make([]*journal.Draft, 0, len(w.files))
	defer func() {
		for _, draft := range drafts {
			draft.Discard()
		}
	}()
	for _, file := range w.files {
		draft, err := file.t.Draft()
		if err != nil {
			return err
		}
		drafts = append(drafts, draft)
		sum, err := w.draft(ctx, file, draft)
		if err != nil {
			return fmt.Errorf("writing %q: %w", file.lines.Path, err)
		}
		begun.add(sum)
	}
	begun.add(digestOf(w.rotatedHeader()))
	usage, err := w.draftUsage(begun)
	if err != nil {
		return err
	}
	if err := begun.save(); err != nil {
		return err
	}
	if usage != nil {
		if err := usage.publish(); err != nil {
			return err
		}
	}
	for i, file := range w.files {
		if err := w.publish(file, drafts[i]); err != nil {
			return err
		}
	}
	return begun.remove()
}

// draft writes the lines that a file is to have, and returns the digest of its content.
func (w *filesWriter) draft(ctx context.Context, file *kindFile, draft io.Writer) (string, error) {
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(draft, sum), 64<<10)
	if _, err := out.Write(file.header.Journal().Line); err != nil {
		return "", err
	}
	n := 0
	err := w.each(file, func(line []byte) error {
		n++
		if _, err := out.Write(line); err != nil {
			return err
		}
		return errors.Join(ctx.Err(), out.WriteByte('\n'))
	})
	*file.copied(w.copied) = n
	err = errors.Join(err, out.Flush())
	return digest(sum), err
}

// publish puts a draft in its place. The entries of the log are a part of it: of all of
// them it is known whether their changes were made, and numbers go on from the database's.
func (w *filesWriter) publish(file *kindFile, draft *journal.Draft) error {
	if err := draft.Publish(); err != nil {
		return err
	}
	if file != w.audit || w.from.LastSeq() == 0 {
		return nil
	}
	return filestore.RotateAudit(file.t, w.from.LastSeq())
}

// rotatedHeader is what the log has in the end.
func (w *filesWriter) rotatedHeader() []byte {
	return fileheader.AuditFrom(w.from.LastSeq()).Journal().Line
}

func digest(sum hash.Hash) string { return fmt.Sprintf("%x", sum.Sum(nil)) }

func digestOf(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }
