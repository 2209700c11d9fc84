package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// steadyRequests is the variable by which the test program makes requests until its standard
// input ends, and runs no test: it is a process of its own, for the reason that snapshotsOf has.
const steadyRequests = "KEYWARD_E2E_STEADY_REQUESTS"

// steady are requests at a steady rate, of a number of callers, each request in turn.
type steady struct {
	Callers, PerSecond int
	Method, Body       string
	Header             map[string]string
	URLs               []string
}

// steadyMade is what was made of them.
type steadyMade struct {
	Count int64
	Took  time.Duration
}

// start starts the process, and waits until it makes requests. The returned function ends it, and returns how many requests were
// made per second, each of which was answered with success.
func (s *steady) start(t *testing.T) (stop func() (perSecond float64)) {
	t.Helper()
	what, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := helper(t, steadyRequests+"="+string(what))
	input, errIn := cmd.StdinPipe()
	output, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(output)
	next := func() (made steadyMade) {
		t.Helper()
		if err := answers.Decode(&made); err != nil {
			t.Fatal("the steady requests: ", errors.Join(err, cmd.Wait()))
		}
		return made
	}
	next()
	return func() float64 {
		t.Helper()
		_ = input.Close()
		made := next()
		if err := cmd.Wait(); err != nil {
			t.Fatal("the steady requests: ", err)
		}
		return float64(made.Count) / made.Took.Seconds()
	}
}

// makeSteadyRequests makes those that the environment says.
func makeSteadyRequests(in io.Reader, out io.Writer) error {
	var s steady
	if err := json.Unmarshal([]byte(os.Getenv(steadyRequests)), &s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _, _ = io.Copy(io.Discard, in); cancel() }()
	began := time.Now()
	var made atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, s.Callers)
	answers := json.NewEncoder(out)
	if err := answers.Encode(steadyMade{}); err != nil { // it has started
		return err
	}
	for caller := range s.Callers {
		wait.Go(func() { errs[caller] = s.call(ctx, caller, &made) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return answers.Encode(steadyMade{made.Load(), time.Since(began)})
}

// call makes the requests of one caller until the context ends.
func (s *steady) call(ctx context.Context, caller int, made *atomic.Int64) error {
	tick := time.NewTicker(time.Duration(s.Callers) * time.Second / time.Duration(s.PerSecond))
	defer tick.Stop()
	for n := caller; ; n += s.Callers {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.request(s.URLs[n%len(s.URLs)]); err != nil {
			return err
		}
		made.Add(1)
	}
}

// request makes one request.
func (s *steady) request(url string) error {
	r, err := http.NewRequestWithContext(context.Background(), s.Method, url, strings.NewReader(s.Body))
	if err != nil {
		return err
	}
	for name, value := range s.Header {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s %w", s.Method, url, answer.Status, err)
	}
	return nil
}
