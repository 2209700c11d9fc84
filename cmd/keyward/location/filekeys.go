package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/manage"
	"keyward/manage/client"
	"keyward/store"
	"keyward/store/importer"
	"keyward/store/postgres/usagetable"
	"keyward/usage"
)

// CreateKey implements KeyService.
func (k *FileKeys) CreateKey(ctx context.Context, new client.NewKey) (manage.KeyView, authz.Secret, error) {
	if new.DefaultPrefix && new.Format != apikey.FormatHex {
		new.Prefix = k.prefix()
	}
	k.noteOfPrefix(new.Prefix)
	r, secret, err := k.Service.CreateKey(ctx, k.operator, new.KeyParams)
	return k.view(ctx, &r, err), secret, err
}

// ImportKeys implements KeyService.
func (k *FileKeys) ImportKeys(ctx context.Context, in io.Reader, f importer.KeyFormat, common client.NewKey) ([]string, []*store.KeyParams, error) {
	if common.DefaultPrefix {
		common.Prefix = k.prefix()
	}
	f.InBasic = k.inBasic
	given, err := f.Read(in, common.KeyParams, k.Hasher)
	if err != nil {
		return nil, nil, err
	}
	made, err := k.Service.ImportKeys(ctx, k.operator, given)
	if err != nil {
		return nil, nil, k.Explain(err, "")
	}
	ids, params := make([]string, len(made)), make([]*store.KeyParams, len(made))
	for i := range made {
		ids[i], params[i] = made[i].ID, given[i].Params
	}
	return ids, params, nil
}

// Key implements KeyService.
func (k *FileKeys) Key(ctx context.Context, id string) (manage.KeyView, error) {
	r, err := k.keys.Get(ctx, id)
	return k.view(ctx, &r, err), err
}

// ListKeys implements KeyService.
func (k *FileKeys) ListKeys(ctx context.Context, f store.KeyFilter) ([]manage.KeyView, error) {
	uses, err := k.lastUses(f.UnusedFor)
	if err != nil {
		return nil, err
	}
	k.readEnded(ctx)
	f.Rules, f.Now = k.rules, k.env.Now()
	f.LastUse = uses
	records, _, err := k.keys.List(ctx, f, store.Page{})
	if err != nil {
		return nil, err
	}
	if len(records) == 0 && k.missing(k.path) {
		k.env.Note("note: there is no file %s", k.path)
	}
	views := make([]manage.KeyView, len(records))
	for i := range records {
		views[i] = manage.ViewKey(&k.rules, &records[i], f.Now)
		if uses != nil {
			views[i].LastUse = uses(records[i].ID)
		}
	}
	return views, nil
}

// lastUses returns what returns when a key was last used; nil if nothing records use. To
// select by that there must be something: without, every key would look unused.
func (k *FileKeys) lastUses(unusedFor time.Duration) (func(id string) time.Time, error) {
	switch {
	case k.usage != "":
		return k.lastUsesIn(k.usage, unusedFor)
	case k.db != nil:
		return k.trackedUse().LastUse()
	case unusedFor > 0:
		return nil, command.Usagef("--unused-for needs a usage file: give --usage, or a --config with usage.file")
	default:
		return nil, nil
	}
}

// lastUsesIn is lastUses of a file.
func (k *FileKeys) lastUsesIn(file string, unusedFor time.Duration) (func(id string) time.Time, error) {
	last, since, err := usage.LastUses(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && unusedFor > 0:
		return nil, fmt.Errorf("no usage file %s", file)
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading usage: %w", err)
	case k.env.Now().Sub(since) < unusedFor:
		k.env.Note("note: %s has no record of uses before %s", file, command.Instant(since))
	}
	return func(id string) time.Time { return last[id] }, nil
}

// trackedUse is the use that all replicas record in the database. Nothing is observed by it.
func (k *FileKeys) trackedUse() *usage.Tracker {
	return usage.New(usage.Config{Store: usagetable.New(usagetable.Config{DB: k.db, Now: k.env.Now}), Now: k.env.Now})
}

// KeyUsage implements KeyService. A file that does not exist yet has none.
func (k *FileKeys) KeyUsage(_ context.Context, id string) (*usage.Usage, error) {
	var used usage.Usage
	var err error
	switch {
	case k.usage != "":
		used, err = usage.Read(k.usage, id, k.env.Now())
	case k.db != nil:
		used, err = k.trackedUse().Get(id)
	default:
		return nil, nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k.env.Note("note: there is no usage file %s", k.usage)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading usage: %w", err)
	}
	return &used, nil
}

// FindKey implements KeyService.
func (k *FileKeys) FindKey(ctx context.Context, secret authz.Secret) (manage.KeyView, error) {
	if err := authz.CheckKey(secret.Reveal(), k.inBasic); err != nil {
		return manage.KeyView{}, fmt.Errorf("unknown: no request can carry this key: %w", err)
	}
	r, err := k.keys.FindBySecret(ctx, secret)
	rotated := errors.Is(err, store.ErrRevoked)
	if rotated {
		err = nil
	}
	view := k.view(ctx, &r, err)
	if rotated {
		view.State = store.KeyRevoked
	}
	return view, err
}

// UpdateKey implements KeyService.
func (k *FileKeys) UpdateKey(ctx context.Context, id string, patch manage.KeyPatch) (manage.KeyView, error) {
	r, err := k.Service.UpdateKey(ctx, k.operator, manage.KeyRef{ID: id}, patch)
	return k.view(ctx, &r, err), err
}

// RotateKey implements KeyService.
func (k *FileKeys) RotateKey(ctx context.Context, id string, grace time.Duration) (manage.KeyView, authz.Secret, error) {
	r, secret, err := k.Service.RotateKey(ctx, k.operator, manage.KeyRef{ID: id}, grace)
	return k.view(ctx, &r, err), secret, err
}

// ChangeKey implements KeyService. A key that was deleted has ended.
func (k *FileKeys) ChangeKey(ctx context.Context, id string, change client.KeyChange, reason string) (manage.KeyView, error) {
	ref := manage.KeyRef{ID: id, Reason: reason}
	var r store.KeyRecord
	var err error
	switch change {
	case client.Revoke:
		r, err = k.RevokeKey(ctx, k.operator, ref)
	case client.Delete:
		r, err = k.DeleteKey(ctx, k.operator, ref)
	case client.Pause:
		r, err = k.PauseKey(ctx, k.operator, ref)
	case client.Resume:
		r, err = k.ResumeKey(ctx, k.operator, ref)
	default:
		r, err = k.EndGrace(ctx, k.operator, ref)
	}
	if errors.Is(err, store.ErrNotFound) && (change == client.Revoke || change == client.Delete) {
		if deleted, none := k.keys.Deleted(ctx, id); none == nil {
			r, err = deleted, nil
		}
	}
	return k.view(ctx, &r, err), err
}

// view returns what is shown of the record, unless there is an error in its place.
func (k *FileKeys) view(ctx context.Context, r *store.KeyRecord, err error) manage.KeyView {
	if err != nil {
		return manage.KeyView{}
	}
	k.readEnded(ctx)
	return manage.ViewKey(&k.rules, r, k.env.Now())
}

// readEnded reads which users were deleted, once: their keys are revoked.
func (k *FileKeys) readEnded(ctx context.Context) {
	if k.users == nil || k.rules.Ended != nil {
		return
	}
	var err error
	if k.rules.Ended, err = k.users.Ended(ctx); err != nil {
		k.env.Note("note: cannot tell which keys ended with their users: %v", err)
	}
	if k.rules.Ended == nil {
		k.rules.Ended = store.EndedUsers{}
	}
}
