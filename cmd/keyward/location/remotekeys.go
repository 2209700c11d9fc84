package location

import (
	"context"
	"io"

	"keyward/manage/client"
	"keyward/store"
	"keyward/store/importer"
)

// remoteKeys is the keys of a running Keyward.
type remoteKeys struct{ *client.Client }

// ImportKeys implements KeyService.
func (k remoteKeys) ImportKeys(ctx context.Context, in io.Reader, f importer.KeyFormat, common client.NewKey) ([]string, []*store.KeyParams, error) {
	given, err := f.ReadGiven(in, common.KeyParams)
	if err != nil || len(given) == 0 {
		return []string{}, nil, err
	}
	ids, err := k.Client.ImportKeys(ctx, given, f.Hashed)
	if err != nil {
		return nil, nil, k.Explain(err, "")
	}
	params := make([]*store.KeyParams, len(given))
	for i := range given {
		params[i] = given[i].Params
	}
	return ids, params, nil
}

// Location implements KeyService.
func (k remoteKeys) Location() string { return "at " + k.Server() }

// Explain implements KeyService.
func (k remoteKeys) Explain(err error, id string) error {
	return ExplainKey(CauseOf(err), id, k.Location())
}
