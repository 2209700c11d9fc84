package records

import (
	"errors"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/manage"
	"keyward/manage/client"
	"keyward/manage/registry"
)

// TestLostSecrets: the error names the record, and says what to do.
func TestLostSecrets(t *testing.T) {
	for want, secret := range map[string]newSecret{
		"created key k_0123456789aB, but the answer with the new secret was lost and cannot be shown again; rotate or revoke the key":       keySecret(&manage.KeyView{ID: "k_0123456789aB"}, "created"),
		"rotated client c_0123456789aB, but the answer with the new secret was lost and cannot be shown again; rotate or delete the client": clientSecret(&registry.ClientView{ID: "c_0123456789aB"}, "rotated"),
	} {
		if err := secret.lost(); !errors.Is(err, client.ErrSecretLost) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestUnprintedSecret: a secret that was not printed is lost, and is not in the error.
func TestUnprintedSecret(t *testing.T) {
	view := registry.ClientView{ID: "c_0123456789aB"}
	err := clientSecret(&view, "created").print(command.Output{}, &command.Env{Stdout: fullDisk{}}, view, authz.NewSecret("kwcs_secret"), "in clients.jsonl")
	if err == nil || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), "rotate or delete the client") || strings.Contains(err.Error(), "kwcs_") {
		t.Error(err)
	}
}
