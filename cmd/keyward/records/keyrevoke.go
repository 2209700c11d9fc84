package records

import (
	"fmt"
	"io"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/manage/client"
	"keyward/store/confusable"
)

type keyRevoke struct {
	IDs    []string `arg:"" name:"id" help:"Key ids (k_…)."`
	Reason string   `placeholder:"TEXT" help:"Why, in up to 255 bytes; it is shown with the key and in the audit log."`
	location.WrittenKeys
	command.Output
}

// Run revokes the keys.
func (c *keyRevoke) Run(env *command.Env) error {
	return endEach(&c.WrittenKeys, c.Output, env, c.IDs, client.Revoke, c.Reason, "revoked")
}

type keyDelete struct {
	IDs []string `arg:"" name:"id" help:"Key ids (k_…)."`
	location.WrittenKeys
	command.Output
}

// Run revokes the keys and marks them for erasure.
func (c *keyDelete) Run(env *command.Env) error {
	return endEach(&c.WrittenKeys, c.Output, env, c.IDs, client.Delete, "", "deleted")
}

// endEach revokes as many of the keys as it can, and reports each that it could
// not. One id is printed as an object, several as an array.
func endEach(place *location.WrittenKeys, o command.Output, env *command.Env, ids []string, end client.KeyChange, reason, done string) error {
	k, err := place.Open(env)
	if err != nil {
		return err
	}
	defer k.Close()
	failed := false
	views := []keyView{}
	for _, id := range ids {
		ended, err := k.ChangeKey(env.Context, id, end, reason)
		if err != nil {
			env.Note("%v", k.Explain(err, id))
			failed = true
			continue
		}
		views = append(views, keyView{KeyView: ended})
	}
	var result any = views
	if len(ids) == 1 && len(views) == 1 {
		result = views[0]
	}
	if len(views) > 0 || len(ids) > 1 {
		err := o.Print(env, result, func(w io.Writer) {
			for i := range views {
				fmt.Fprintln(w, done, confusable.Shown(views[i].ID))
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
	location.KeyFile
	location.StartOver
	command.Output
}

// Run rewrites the file.
func (c *keyCompact) Run(env *command.Env) error {
	k, err := c.Open(env, c.StartOver)
	if err != nil {
		return err
	}
	file, gone, err := k.Compact(env.Context)
	if err != nil {
		return k.Explain(err, "")
	}
	result := struct {
		File    string `json:"file"`
		Removed int    `json:"removed_lines"`
	}{file, gone}
	return c.Print(env, result, func(w io.Writer) { fmt.Fprintf(w, "%s: %d lines gone\n", file, gone) })
}
