package records

import (
	"fmt"
	"io"
	"time"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/store"
)

// TokenCommands are the commands `keyward token`.
type TokenCommands struct {
	Revoke tokenRevoke `cmd:"" help:"Revoke a token by its id, the tokens of a subject, or all tokens issued before a time. This cannot be undone."`
}

// tokenRevoke has lists of at most one element each. With single values kong
// would silently drop all but the last of a repeated flag, and "" could not be
// told apart from a flag that is absent.
type tokenRevoke struct {
	JTI          []string `name:"jti" sep:"none" placeholder:"ID" help:"Id of the token (claim jti)."`
	Subject      []string `sep:"none" placeholder:"S" help:"Subject whose tokens are revoked, as in x-auth-subject."`
	IssuedBefore []string `sep:"none" placeholder:"TIME" help:"Revoke only tokens issued before this RFC 3339 time (default: now); without --subject those of all subjects."`
	location.Revocations
	command.Output
}

// Run appends one revocation.
func (c *tokenRevoke) Run(env *command.Env) error {
	jti, byID, err := only("--jti", c.JTI)
	if err != nil {
		return err
	}
	subject, bySubject, err := only("--subject", c.Subject)
	if err != nil {
		return err
	}
	text, byTime, err := only("--issued-before", c.IssuedBefore)
	switch {
	case err != nil:
		return err
	case !byID && !bySubject && !byTime:
		return command.Usagef("which tokens? Give --jti, --subject or --issued-before")
	case byID && (bySubject || byTime):
		return command.Usagef("--jti names one token: --subject and --issued-before do not go with it")
	}
	before, err := issuedBefore(env, text)
	if err != nil {
		return err
	}
	r := store.Revocation{TokenID: jti, Subject: subject}
	if !byID {
		r.IssuedBefore = before
	}
	tokens, err := c.Open(env)
	if err != nil {
		return err
	}
	defer tokens.Close()
	made, err := tokens.RevokeToken(env.Context, r)
	if err != nil {
		return location.AsUsage(tokens.Explain(err))
	}
	made.Seq = 0 // it numbers the line, and is not of the revocation
	return c.Print(env, made, func(w io.Writer) { fmt.Fprintln(w, "revoked", tokensOf(&made)) })
}

// only returns the value of a flag that may be given once and must not be empty.
func only(flag string, values []string) (value string, given bool, err error) {
	switch {
	case len(values) == 0:
		return "", false, nil
	case len(values) > 1:
		return "", false, command.Usagef("%s: give it once", flag)
	case values[0] == "":
		return "", false, command.Usagef("%s: want a value that is not empty", flag)
	}
	return values[0], true, nil
}

func issuedBefore(env *command.Env, text string) (time.Time, error) {
	now := env.Now()
	if text == "" {
		return now, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, command.Usagef("--issued-before %q: want an RFC 3339 time as 2030-01-31T00:00:00Z", text)
	}
	if at.After(now) {
		env.Note("note: until %s, tokens that are yet to be issued are ended too", command.Instant(at))
	}
	return at, nil
}

func tokensOf(r *store.Revocation) string {
	switch {
	case r.TokenID != "":
		return "the token " + command.Quoted(r.TokenID)
	case r.Subject != "":
		return fmt.Sprintf("tokens of %s issued before %s", command.Quoted(r.Subject), command.Instant(r.IssuedBefore))
	default:
		return "all tokens issued before " + command.Instant(r.IssuedBefore)
	}
}
