package e2e

import (
	"net/http"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/e2e/stack"
	cookies "keyward/manage/session"
)

const (
	checkRounds  = 11 // of each kind, in turn
	checksEvery  = 2000
	changesEvery = 100
	roundSpan    = 4 * time.Second
	maxSlowdown  = 1.5
)

// checksBeside compares the checks' 99th percentile beside other work of the process with
// that without: Keyward is on one core, everything else on the other.
func (s *scale) checksBeside(work map[string]*steady) {
	s.t.Helper()
	s.process.Stop()
	s.startOnOneCore()
	checks := loadgen.Driver{
		Address: stack.Address(s.ports.GRPC), Ask: loadgen.RequestSource(credential.Bearers(s.secrets), loadgen.Allow), GRPC: true,
		Conns: 4, Streams: 1000, Rate: checksEvery, Span: roundSpan,
	}
	var quiet, beside loadgen.Histogram
	round := func(into *loadgen.Histogram) {
		answers, err := checks.Run()
		if err != nil {
			s.t.Fatal(err)
		}
		into.Merge(&answers.Histogram)
	}
	round(&quiet) // warm
	for what, steadily := range work {
		quiet, beside = loadgen.Histogram{}, loadgen.Histogram{}
		for range checkRounds {
			round(&quiet)
			stop := steadily.start(s.t)
			round(&beside)
			if rate := stop(); rate < 0.8*float64(steadily.PerSecond) {
				s.t.Errorf("%s: %.0f were made per second", what, rate)
			}
		}
		calm, busy := quiet.Percentile(99), beside.Percentile(99)
		ratio := float64(busy) / float64(calm)
		s.t.Logf("checks' p99 over %d rounds: %v alone, %v beside %s: %.2f times", checkRounds, calm, busy, what, ratio)
		if ratio > maxSlowdown {
			s.t.Errorf("checks beside %s take %.2f times as long, want at most %.1f", what, ratio, maxSlowdown)
		}
	}
}

// steadyChanges make keys.
func (s *scale) steadyChanges() *steady {
	return &steady{
		Callers: 4, PerSecond: changesEvery, Method: http.MethodPost, Body: `{"name": "beside checks"}`, URLs: []string{"http://" + s.address + "/api/v1/keys"},
		Header: map[string]string{"Authorization": "Bearer " + s.admin, "Content-Type": "application/json"},
	}
}

// steadyPages request pages of the console.
func (s *scale) steadyPages() *steady {
	pages := steady{Callers: 1, PerSecond: pagesEvery, Method: http.MethodGet, Header: map[string]string{"Cookie": cookies.CookieName + "=" + s.cookie}}
	for _, path := range scalePages {
		pages.URLs = append(pages.URLs, "http://"+s.address+path)
	}
	return &pages
}
