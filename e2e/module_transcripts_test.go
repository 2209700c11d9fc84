package e2e

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	// hashedPassword matches a command with the password of one of the pages' users, which
	// has to be hashed. An empty one has not, and the other pages have keys there.
	hashedPassword = regexp.MustCompile(`--user '?(admin|mallory):[^ ]|Basic YWRtaW46cGFzc3dvcmQ=`)
	signedToken    = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)
	opaqueToken    = regexp.MustCompile(`at-[A-Z2-7]{26}|opaque-and-unknown`)
)

// undecidedAlone runs a step with the module alone if its credential has to be waited for,
// and wants a 503. It reports whether that is the step's only result: passwords always
// are, and signed tokens that are not valid, since only the principal of a valid one is
// kept. For another token it waits until that was verified in the background, so that
// the step has its usual result.
func (c *terminal) undecidedAlone(t *testing.T, s *step) (done bool) {
	t.Helper()
	command := os.Expand(c.withKeys(s.command), func(name string) string { return c.variables[name] })
	signed, opaque := signedToken.FindAllString(command, -1), opaqueToken.FindAllString(command, -1)
	tokens := append(signed, opaque...)
	var always bool
	switch {
	case s.status == "503", strings.Contains(command, "/v1/auth/verify"): // the latter is answered by the Keyward beside
		return false
	case hashedPassword.MatchString(command):
		always = true
	case len(tokens) != 1 || c.verified[tokens[0]] && s.status != "401": // two are refused at once
		return false
	default:
		always = len(signed) == 1 && s.status == "401"
	}
	if err := c.wantUndecided(s); err != nil {
		t.Errorf("%s: %s\n%v", s.where, s.command, err)
	}
	if always {
		return true
	}
	c.untilDecided(t, s)
	c.verified[tokens[0]] = true
	return false
}

// wantUndecided wants 503 for a step, at the latest when the command before it is in
// force.
func (c *terminal) wantUndecided(s *step) (err error) {
	for {
		before := c.arrived()
		answer, out, err := c.askOnce(s)
		if err == nil && answer.status != "503" {
			err = fmt.Errorf("status %s, want 503; printed: %s", answer.status, out)
		}
		if err == nil {
			err = c.isDenial(s.command, answer.header, out)
		}
		if err == nil && c.arrived() != before {
			err = errors.New("503, but the request reached the API")
		}
		if err == nil || time.Since(c.changed) > inForce {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *terminal) untilDecided(t *testing.T, s *step) {
	t.Helper()
	for deadline := time.Now().Add(inForce); ; time.Sleep(20 * time.Millisecond) {
		answer, out, err := c.askOnce(s)
		if err == nil && answer.status != "503" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: %s\nnot verified in the background: %v %s", s.where, s.command, err, out)
			return
		}
	}
}
