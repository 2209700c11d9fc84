package location

import (
	"context"

	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/manage/client"
	"keyward/store"
)

// Revocations has the flags that name the revocations: those of a file, or those of
// a server.
type Revocations struct {
	File   string `placeholder:"FILE" help:"Revocations file (default revocations.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the revocations file."`
	StartOver
	Server
}

// RevocationService revokes tokens: in a file, or at a running Keyward.
type RevocationService interface {
	// RevokeToken ends the token with the id; without one those that were issued before
	// the time, of the subject or of all.
	RevokeToken(context.Context, store.Revocation) (store.Revocation, error)
	// Explain adds to an error what is known of its cause.
	Explain(err error) error
	// Close ends the work. It prints what is to be known of that.
	Close()
}

// Open returns the revocations: of the file, or of the server that the flags name.
func (p *Revocations) Open(env *command.Env) (RevocationService, error) {
	c, err := p.Connect(env, append(filePair(p.File, p.Config), p.StartOver.flag())...)
	switch {
	case err != nil:
		return nil, err
	case c != nil:
		return remoteRevocations{c}, nil
	}
	cfg, err := configOf(env, "revocations", p.File, p.Config, func(cfg *config.Config) *string { return &cfg.Revocations.File })
	if err != nil {
		return nil, err
	}
	r, err := openRecords(env, cfg, nil, p.StartOver)
	return fileRevocations{r, env}, err
}

// fileRevocations is a revocations file.
type fileRevocations struct {
	*records
	env *command.Env
}

// RevokeToken implements RevocationService.
func (f fileRevocations) RevokeToken(ctx context.Context, r store.Revocation) (store.Revocation, error) {
	switch {
	case r.TokenID != "":
		return f.Service.RevokeToken(ctx, f.operator, r.TokenID)
	case r.Subject != "":
		return f.RevokeTokensOf(ctx, f.operator, r.Subject, r.IssuedBefore)
	default:
		return f.RevokeTokens(ctx, f.operator, r.IssuedBefore)
	}
}

// Close warns of changes that are not in the audit log.
func (f fileRevocations) Close() { f.close(f.env) }

func (f fileRevocations) Explain(err error) error { return explainFile(err) }

// remoteRevocations is the revocations of a running Keyward.
type remoteRevocations struct{ *client.Client }

func (remoteRevocations) Explain(err error) error { return CauseOf(err) }
