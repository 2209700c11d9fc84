package location

import (
	"context"
	"errors"
	"os"

	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/engine/issuer"
	"keyward/manage/signingkeys"
	"keyward/store/audit"
)

// SigningKeys are the issuer's keys that a configuration has, in its files or its database.
type SigningKeys struct {
	env     *command.Env
	cfg     *config.Config
	records *records
}

// OpenSigningKeys opens what a configuration says of the issuer.
func OpenSigningKeys(env *command.Env, cfg *config.Config) (*SigningKeys, error) {
	if !cfg.OwnIssuer() {
		return nil, errors.New("the configuration has no listen.issuer, whose keys these would be")
	}
	r, err := openRecords(env, cfg, nil, StartOver{})
	if err != nil {
		return nil, err
	}
	return &SigningKeys{env, cfg, r}, nil
}

// Status returns the keys in the order in which they were made, and changes none.
func (k *SigningKeys) Status(ctx context.Context) ([]signingkeys.Status, error) {
	if k.records.missing(k.cfg.Issuer.KeysDir) {
		return nil, nil
	}
	cfg, err := k.config()
	if err != nil {
		return nil, err
	}
	all, err := signingkeys.ReadStatus(ctx, cfg)
	return all, k.cfg.HideEnv(err)
}

// MadeKey is the key that signs next, or now.
type MadeKey struct {
	signingkeys.Status
	New bool // false: it was there already
}

// Rotate makes a new key, with an entry in the audit log, and returns it. With revokeOld it
// signs at once, and the others end.
func (k *SigningKeys) Rotate(ctx context.Context, revokeOld bool) (MadeKey, error) {
	cfg, err := k.config()
	if err != nil {
		return MadeKey{}, err
	}
	keys, err := signingkeys.Open(ctx, cfg)
	if err != nil {
		return MadeKey{}, k.cfg.HideEnv(err)
	}
	action := audit.SigningKeyRotate
	if revokeOld {
		action = audit.SigningKeyRevoke
	}
	if next, there := find(keys.Status(), signingkeys.Next); there && !revokeOld {
		return MadeKey{next, false}, nil
	}
	if err := k.records.log.Append(ctx, k.records.operator.Entry(action, "", nil)); err != nil {
		if !action.Ends() {
			return MadeKey{}, err
		}
		k.env.Note("note: the keys end without an entry in the audit log: %v", err)
	}
	if err := keys.Rotate(ctx, revokeOld); err != nil {
		e := k.records.operator.Entry(action, "", nil)
		e.Outcome = audit.NotDone
		return MadeKey{}, k.cfg.HideEnv(errors.Join(err, k.records.log.Append(ctx, e)))
	}
	state := signingkeys.Next
	if revokeOld {
		state = signingkeys.Signing
	}
	made, _ := find(keys.Status(), state)
	return MadeKey{made, true}, nil
}

func find(all []signingkeys.Status, state signingkeys.State) (signingkeys.Status, bool) {
	for _, s := range all {
		if s.State == state {
			return s, true
		}
	}
	return signingkeys.Status{}, false
}

func (k *SigningKeys) config() (signingkeys.Config, error) {
	cfg, err := issuer.SigningKeys(&k.cfg.Issuer, k.records.db)
	cfg.Now = k.env.Now
	if errors.Is(err, os.ErrPermission) {
		err = errors.Join(err, errors.New("run this as the user that the server runs as"))
	}
	return cfg, k.cfg.HideEnv(err)
}

// Close ends the work. What was changed is durable already.
func (k *SigningKeys) Close() { k.records.close(k.env) }
