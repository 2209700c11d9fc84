package records

import (
	"context"
	"errors"
	"fmt"
	"io"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/store"

	"keyward/cmd/keyward/command"
)

type keyRevoke struct {
	IDs []string `arg:"" name:"id" help:"Key ids (k_…)."`
	writtenKeyFile
	command.Output
}

// Run revokes the keys.
func (c *keyRevoke) Run(env *command.Env) error {
	k, err := c.open(env)
	if err != nil {
		return err
	}
	return endEach(c.Output, env, k, c.IDs, k.records.RevokeKey, "revoked")
}

type keyDelete struct {
	IDs []string `arg:"" name:"id" help:"Key ids (k_…)."`
	writtenKeyFile
	command.Output
}

// Run revokes the keys and marks them for erasure.
func (c *keyDelete) Run(env *command.Env) error {
	k, err := c.open(env)
	if err != nil {
		return err
	}
	return endEach(c.Output, env, k, c.IDs, k.records.DeleteKey, "deleted")
}

// endEach revokes as many of the keys as it can, and reports each that it could
// not. One id is printed as an object, several as an array.
func endEach(o command.Output, env *command.Env, k *keys, ids []string, end func(context.Context, access.Actor, manage.KeyRef) (store.KeyRecord, error), done string) error {
	defer k.records.noteUnwritten(env)
	failed := false
	views := []keyView{}
	for _, id := range ids {
		r, err := end(env.Context, k.records.operator, manage.KeyRef{ID: id})
		if errors.Is(err, store.ErrNotFound) { // a key that was deleted has ended
			if deleted, none := k.Deleted(env.Context, id); none == nil {
				r, err = deleted, nil
			}
		}
		if err != nil {
			env.Note("%v", k.explain(err, id))
			failed = true
			continue
		}
		views = append(views, k.view(&r, env.Now()))
	}
	var result any = views
	if len(ids) == 1 && len(views) == 1 {
		result = views[0]
	}
	if len(views) > 0 || len(ids) > 1 {
		err := o.Print(env, result, func(w io.Writer) {
			for i := range views {
				fmt.Fprintln(w, done, views[i].ID)
			}
		})
		if err != nil {
			return err
		}
	}
	if failed {
		return command.ExitCode(command.Refused)
	}
	return nil
}

type keyCompact struct {
	writtenKeyFile
	command.Output
}

// Run rewrites the file.
func (c *keyCompact) Run(env *command.Env) error {
	k, err := c.open(env)
	if err != nil {
		return err
	}
	gone, err := k.Compact(env.Context)
	if err != nil {
		return k.explain(err, "")
	}
	result := struct {
		File    string `json:"file"`
		Removed int    `json:"removed_lines"`
	}{k.path, gone}
	return c.Print(env, result, func(w io.Writer) { fmt.Fprintf(w, "%s: %d lines gone\n", k.path, gone) })
}
