package records

import (
	"fmt"
	"io"
	"slices"
	"time"

	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/manage/client"
)

// newSecret is what messages say of a secret that a command made. A secret is not
// stored, and cannot be printed again.
type newSecret struct {
	done   string // as in "created key k_0123456789aB"
	remedy string // what to do if it was not printed
}

// lost is the error for a secret whose answer did not arrive.
func (s newSecret) lost() error {
	return fmt.Errorf("%s, but %w and cannot be shown again; %s", s.done, client.ErrSecretLost, s.remedy)
}

// print prints the secret alone, or the view that has it as JSON.
func (s newSecret) print(o command.Output, env *command.Env, view any, secret authz.Secret, place string) error {
	err := o.Print(env, view, func(w io.Writer) { fmt.Fprintln(w, secret.Reveal()) })
	if err != nil {
		return fmt.Errorf("%s, but could not print its secret, which cannot be shown again; %s: %w", s.done, s.remedy, err)
	}
	if !o.JSON {
		env.Note("%s %s; the secret will not be shown again", s.done, place)
	}
	return nil
}

// graceOf reads --grace, for which the secret before stays valid; "" and 0 are none.
func graceOf(text string) (time.Duration, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	grace, err := config.ParseDuration(text)
	if err != nil || grace < 0 {
		return 0, command.Usagef("--grace %q: want a time as 90s, 24h or 7d", text)
	}
	return grace, nil
}

// noteOfGraces reports that secrets of earlier rotations stay valid beside the one
// before.
func noteOfGraces(env *command.Env, until []time.Time) {
	if len(until) > 1 {
		last := slices.MaxFunc(until, time.Time.Compare)
		env.Note("note: earlier secrets stay valid until their grace ends, the last until %s; rotate without --grace to end them", command.Instant(last))
	}
}
