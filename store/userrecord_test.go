package store

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"keyward/store/jsonline"
)

var (
	may  = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	june = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

// TestUserLines are the lines as they stand in files: no version writes them in
// another way.
func TestUserLines(t *testing.T) {
	for line, want := range map[string]UserRecord{
		`{"name":"alice","created":"2026-05-01T12:00:00Z","at":"2026-05-01T12:00:00Z"}`: {Name: "alice", Created: may, At: may},
		`{"name":"ci","service":true,"created":"2026-05-01T12:00:00Z","created_by":"alice","at":"2026-05-01T12:00:00Z","seq":4}`: {
			Name: "ci", Service: true, Created: may, CreatedBy: "alice", At: may, Seq: 4},
		`{"name":"alice","paths":["/a"],"scopes":["read"],"disabled":true,"password":"$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu","must_change":true,` +
			`"oidc_issuer":"https://idp.example.com","oidc_subject":"42","created":"2026-05-01T12:00:00Z","valid_since":"2026-05-01T12:00:00Z",` +
			`"sessions_since":"2026-06-01T12:00:00Z","gen":7,"at":"2026-06-01T12:00:00Z"}`: {
			Name: "alice", Paths: []string{"/a"}, Scopes: []string{"read"}, Disabled: true, Password: "$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu", MustChange: true,
			OIDCIssuer: "https://idp.example.com", OIDCSubject: "42", Created: may, ValidSince: may, SessionsSince: june, Gen: 7, At: june},
	} {
		var d UserDecoder
		got, err := d.Decode([]byte(line))
		if err != nil || !reflect.DeepEqual(got.Clone(), want) {
			t.Errorf("%s\nread as %+v, %v", line, got, err)
		}
		if written, err := want.Line(); err != nil || string(written) != line+"\n" {
			t.Errorf("%s\nwritten as %s, %v", line, written, err)
		}
	}
}

// TestUsersThatContradictThemselves: such a record is not written.
func TestUsersThatContradictThemselves(t *testing.T) {
	const hash = "$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
	for name, r := range map[string]UserRecord{
		"a service user with a password":     {Service: true, Password: hash},
		"a service user that is linked":      {Service: true, OIDCIssuer: "https://idp.example.com", OIDCSubject: "42"},
		"an issuer without a subject":        {OIDCIssuer: "https://idp.example.com"},
		"a subject without an issuer":        {OIDCSubject: "42"},
		"a subject with a control character": {OIDCIssuer: "https://idp.example.com", OIDCSubject: "4\n2"},
		"a long subject":                     {OIDCIssuer: "https://idp.example.com", OIDCSubject: strings.Repeat("4", jsonline.MaxText+1)},
		"a generation below zero":            {Gen: -1},
	} {
		r.Name, r.Created, r.At = "alice", may, may
		if line, err := r.Line(); err == nil {
			t.Errorf("%s: written as %s", name, line)
		}
	}
}

// TestUsersWithOtherHashes: the error says which kind of hash it is and what to
// do, and does not quote it.
func TestUsersWithOtherHashes(t *testing.T) {
	for hash, want := range map[string]string{
		"$6$saltstring$svn8UoSVap":              "password: SHA-512-crypt (htpasswd -5), which Keyward does not compute: have the user set a new password (keyward user set NAME,",
		"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9gAAAA": "password: SHA-1 behind {ssha}, which can be guessed too fast",
		"swordfish":                             "password: plain text, or a hash of an unknown kind",
	} {
		var d UserDecoder
		line := `{"name":"alice","password":"` + hash + `","created":"2026-05-01T00:00:00Z","at":"2026-05-01T00:00:00Z"}`
		if r, err := d.Decode([]byte(line)); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), hash[4:]) {
			t.Errorf("%s: %+v, %v; want %s", hash, r, err, want)
		}
	}
}

// TestEndsOfUsers is the policy: what a user's record says has ended, after what.
func TestEndsOfUsers(t *testing.T) {
	july := june.AddDate(0, 1, 0)
	later := july.Add(time.Millisecond) // than a session that began by a clock that had gone back
	next := func(before *UserRecord, now time.Time) UserRecord {
		r := UserRecord{Name: before.Name, Created: now, At: now}
		r.Succeed(before)
		return r
	}
	for name, c := range map[string]struct {
		change         func(r *UserRecord)
		keys, sessions time.Time
		gen            int64
	}{
		"nothing":                   {func(*UserRecord) {}, time.Time{}, time.Time{}, 3},
		"logins":                    {func(r *UserRecord) { r.EndLogins(june) }, time.Time{}, june, 4},
		"logins, after a clock":     {func(r *UserRecord) { r.At = july; r.EndLogins(june) }, time.Time{}, july, 4},
		"logins, twice":             {func(r *UserRecord) { r.EndLogins(july); r.EndLogins(june) }, time.Time{}, later, 5},
		"all":                       {func(r *UserRecord) { r.EndAll(june, time.Time{}) }, june, june, 4},
		"all, after a clock":        {func(r *UserRecord) { r.At = july; r.EndAll(june, time.Time{}) }, july, july, 4},
		"all, with a later key":     {func(r *UserRecord) { r.EndAll(june, july) }, july, july, 4},
		"all, and then logins":      {func(r *UserRecord) { r.EndAll(june, may); r.EndLogins(july) }, june, july, 5},
		"a deletion":                {func(r *UserRecord) { r.Delete(june, may) }, june, june, 4},
		"a deletion, after logins":  {func(r *UserRecord) { r.EndLogins(july); r.At = july; r.Delete(june, may) }, later, later, 5},
		"a deletion, a later key":   {func(r *UserRecord) { r.Delete(june, july) }, july, july, 4},
		"a change of the next one":  {func(r *UserRecord) { r.Delete(july, may); *r = next(r, july); *r = next(r, july) }, july, july, 4},
		"a deletion, after another": {func(r *UserRecord) { before := *r; before.Deleted = july; r.Delete(june, may); r.Succeed(&before) }, july, july, 4},
		"a deletion, a later end":   {func(r *UserRecord) { r.EndLogins(july); r.Delete(june, may) }, later, later, 5},
		"the next user":             {func(r *UserRecord) { r.Delete(june, may); *r = next(r, july) }, june, june, 4},
		"the next user's logins":    {func(r *UserRecord) { r.Delete(june, may); *r = next(r, july); r.EndLogins(july) }, june, july, 5},
	} {
		r := UserRecord{Name: "alice", Created: may, At: may, Gen: 3, Scopes: []string{"read"}, Unknown: `"x":1`}
		c.change(&r)
		if !r.EndedAt().Equal(c.keys) || !r.SessionsFrom().Equal(c.sessions) || r.Gen != c.gen {
			t.Errorf("%s: keys until %v, sessions until %v, generation %d", name, r.EndedAt(), r.SessionsFrom(), r.Gen)
		}
		if strings.HasPrefix(name, "a deletion") && (r.Deleted.IsZero() || r.Scopes != nil || r.Unknown == "") {
			t.Errorf("%s: %+v", name, r)
		}
		if _, err := r.Line(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
