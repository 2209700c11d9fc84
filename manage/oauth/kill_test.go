package oauth

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/account"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/filestore"
)

// killedDirectory is in the environment of the process that TestIssuerChild is.
const killedDirectory = "KEYWARD_TEST_ISSUER"

// serviceAt is a Service over the files of a directory, in which several processes may work.
func serviceAt(t *testing.T, dir string, now func() time.Time) *Service {
	t.Helper()
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: filepath.Join(dir, "audit.jsonl")})
	users := filestore.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")})
	revocations := filestore.NewRevocationFile(filestore.RevocationFileConfig{Path: filepath.Join(dir, "revocations.jsonl")})
	db, err := state.Open(t.Context(), state.Config{Path: filepath.Join(dir, "keyward.db"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	records := manage.New(manage.Config{
		Stores: manage.Stores{Users: users, UserEditor: users.Editor(log), Audit: log, Revocations: revocations, RevocationEditor: revocations.Editor(log)},
		Hasher: server.Hasher, HashPassword: func(context.Context, authz.Secret) (string, error) { return testHash, nil },
	})
	check := func(context.Context, string, authz.Secret, authz.RawAddress) (authz.Secret, error) {
		return authz.NewSecret(testHash), nil
	}
	return New(Config{
		Records: records, Accounts: account.New(account.Config{Records: records, State: db, CheckPassword: check}), Grants: db.Grants, Consents: db.Consents, Signer: plain{},
		Issuer: "https://api.example.com", Audience: "api", AccessTTL: time.Hour, RefreshTTL: 30 * 24 * time.Hour, Now: now,
	})
}

// TestIssuerChild is not a test but the process that TestKill kills. It logs in, refreshes and
// logs out, several families at a time, and prints what their clients receive.
func TestIssuerChild(t *testing.T) {
	dir := os.Getenv(killedDirectory)
	if dir == "" {
		t.Skip("run by TestKill")
	}
	s := serviceAt(t, dir, time.Now)
	for worker := range 3 {
		go func() {
			for n := 0; ; n++ {
				if err := liveOn(s, fmt.Sprintf("%d-%d", worker, n)); err != nil {
					fmt.Println("failed", err)
				}
			}
		}()
	}
	select {}
}

// liveOn is the life of one family.
func liveOn(s *Service, name string) error {
	ctx := context.Background()
	tokens, err := s.Login(ctx, call, "alice", authz.NewSecret(testPassword))
	if err != nil {
		return err
	}
	fmt.Println("login", name, tokens.Refresh.Reveal(), sidOf(tokens))
	for range rand.IntN(6) {
		if tokens, err = s.Refresh(ctx, call, tokens.Refresh); err != nil {
			return err
		}
		fmt.Println("refresh", name, tokens.Refresh.Reveal())
	}
	if rand.IntN(3) == 0 {
		return nil
	}
	fmt.Println("ending", name)
	if err := s.Logout(ctx, call, tokens.Refresh); err != nil {
		return err
	}
	fmt.Println("logout", name)
	return nil
}

func sidOf(tokens Tokens) string {
	_, text, _ := strings.Cut(tokens.Access.Reveal(), " ")
	var claims struct {
		SID string `json:"sid"`
	}
	_ = json.Unmarshal([]byte(text), &claims)
	return claims.SID
}

// known is what a client knows of its family.
type known struct {
	sid           string
	tokens        []authz.Secret // all that it was given
	ending, ended bool
}

// killing is the other side: what is left after each kill.
type killing struct {
	*testing.T
	dir     string
	service *Service
	ahead   atomic.Int64 // of the clock
	lines   int
	revoked map[string]bool // the sids that must be
}

// TestKill: a process that logs in, refreshes and logs out is killed (kill -9) at random
// points. No client has lost a family that it knows; no token of a family that has
// ended, and none that was used, works again, but for the ten seconds in which it gives the
// same successor.
func TestKill(t *testing.T) {
	if inPostgres {
		t.Skip("the state is in a file")
	}
	kills := 25
	if os.Getenv("KEYWARD_PROVE") != "" {
		kills = 1000
	}
	k := &killing{T: t, dir: t.TempDir(), revoked: map[string]bool{}}
	k.service = serviceAt(t, k.dir, func() time.Time { return time.Now().Add(time.Duration(k.ahead.Load())) })
	password := authz.NewSecret(testPassword)
	if _, err := k.service.Records.CreateUser(t.Context(), admin, manage.UserInput{Name: "alice", Password: &password}); err != nil {
		t.Fatal(err)
	}
	families, open, begun := 0, 0, 0
	for range kills {
		for name, one := range k.kill() {
			families++
			switch {
			case one.ended:
				k.checkEnded(name, one)
			case one.ending:
				begun++
				k.checkEnding(name, one)
			default:
				open++
				k.checkOpen(name, one)
			}
		}
		if t.Failed() {
			break
		}
	}
	k.checkRevoked()
	t.Logf("%d kills, %d answers, %d families, of which %d were open and %d were being ended", kills, k.lines, families, open, begun)
}

// kill runs a process until it is killed, and returns what its clients know.
func (k *killing) kill() map[string]*known {
	k.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestIssuerChild$")
	child.Env = append(os.Environ(), killedDirectory+"="+k.dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		k.Fatal(err)
	}
	all, lines := map[string]*known{}, bufio.NewReader(out)
	for range 1 + rand.IntN(30) {
		k.read(lines, all)
	}
	time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond) // a random moment
	_ = child.Process.Kill()
	for k.read(lines, all) {
	}
	_ = child.Wait()
	return all
}

// read reads a line of the process, and reports whether there was one.
func (k *killing) read(lines *bufio.Reader, all map[string]*known) bool {
	k.Helper()
	line, err := lines.ReadString('\n')
	if err != nil {
		if err != io.EOF {
			k.Error(err)
		}
		return false // the client got no answer
	}
	k.lines++
	words := strings.Fields(line)
	switch {
	case len(words) == 4 && words[0] == "login":
		all[words[1]] = &known{sid: words[3], tokens: []authz.Secret{authz.NewSecret(words[2])}}
	case len(words) == 3 && words[0] == "refresh":
		all[words[1]].tokens = append(all[words[1]].tokens, authz.NewSecret(words[2]))
	case len(words) == 2 && words[0] == "ending":
		all[words[1]].ending = true
	case len(words) == 2 && words[0] == "logout":
		all[words[1]].ended = true
	default:
		k.Fatalf("the process said %q", line)
	}
	return true
}

func (k *killing) refresh(token authz.Secret) (authz.Secret, error) {
	tokens, err := k.service.Refresh(k.Context(), call, token)
	return tokens.Refresh, err
}

// checkOpen continues a family of which the client has a token, and then uses one again.
func (k *killing) checkOpen(name string, one *known) {
	k.Helper()
	latest := one.tokens[len(one.tokens)-1]
	next, err := k.refresh(latest) // which the process may have used, without an answer
	if err != nil {
		k.Errorf("%s: its client has lost the family: %v", name, err)
		return
	}
	if again, err := k.refresh(latest); err != nil || again != next {
		k.Errorf("%s: another successor: %v", name, err)
	}
	if next, err = k.refresh(next); err != nil {
		k.Errorf("%s: the successor: %v", name, err)
	}
	used := one.tokens[rand.IntN(len(one.tokens))]
	if _, err := k.refresh(used); fault.CodeOf(err) != fault.NotFound {
		k.Errorf("%s: a token that was used, and its successor: %v", name, err)
	}
	k.ahead.Store(int64(11 * time.Second))
	defer k.ahead.Store(0)
	if _, err := k.refresh(used); fault.CodeOf(err) != fault.NotFound {
		k.Errorf("%s: a token that was used works again: %v", name, err)
	}
	one.tokens = append(one.tokens, next)
	k.checkEnded(name, one) // by the reuse
}

// checkEnding logs a family out again, whose logout had no answer.
func (k *killing) checkEnding(name string, one *known) {
	k.Helper()
	if err := k.service.Logout(k.Context(), call, one.tokens[len(one.tokens)-1]); err != nil {
		k.Errorf("%s: logout: %v", name, err)
	}
	k.checkEnded(name, one)
}

// checkEnded: no token of the family works, and its access tokens are revoked.
func (k *killing) checkEnded(name string, one *known) {
	k.Helper()
	k.revoked[one.sid] = true
	for i, token := range one.tokens {
		if _, err := k.refresh(token); fault.CodeOf(err) != fault.NotFound {
			k.Errorf("%s: token %d of a family that has ended: %v", name, i, err)
		}
	}
}

// checkRevoked: the access tokens of all families that have ended are revoked.
func (k *killing) checkRevoked() {
	k.Helper()
	all, _, err := k.service.Records.Revocations.List(k.Context(), store.RevocationFilter{}, store.Page{})
	if err != nil {
		k.Fatalf("the revocations cannot be read: %v", err)
	}
	for _, r := range all {
		delete(k.revoked, r.SessionID)
	}
	if len(k.revoked) > 0 {
		k.Errorf("%d families have ended, and their access tokens are accepted", len(k.revoked))
	}
}
