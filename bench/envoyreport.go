package main

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"keyward/bench/process"
	"keyward/bench/report"
)

func (e *proxyUnderTest) row(times [3][]float64, before ...string) []string {
	cells := append([]string{e.title()}, before...)
	for _, each := range times {
		cells = append(cells, fmt.Sprintf("%.0f", median(each)))
	}
	return cells
}

func (e *proxyUnderTest) title() string {
	if e.filter == "" {
		return e.name
	}
	return e.name + ", " + report.Count(len(e.keys.Secrets)) + " keys"
}

func (b *bench) reportProxies(proxies []*proxyUnderTest, rate int) error {
	at := fmt.Sprintf(" µs at %d/s", rate)
	b.report.Begin("Through Envoy, one worker", "requests/s", "µs CPU", "MiB", "p50"+at, "p99"+at, "p99.9"+at)
	for _, e := range proxies {
		resident, err := e.child.Resident()
		if err != nil {
			return err
		}
		b.report.Row(e.row(e.low, fmt.Sprintf("%.0f", median(e.rate)), fmt.Sprintf("%.2f", median(e.cpu)), fmt.Sprint(resident>>20))...)
	}
	return nil
}

func (b *bench) reportPaced(proxies []*proxyUnderTest, rate int) {
	at := fmt.Sprintf(" µs at %d/s", rate)
	b.report.Begin("At 60 % of what the module reaches", "p50"+at, "p99"+at, "p99.9"+at)
	for _, e := range proxies {
		if e.asks == "" {
			b.report.Row(e.row(e.high)...)
		}
	}
}

func (b *bench) reportOwn(proxies []*proxyUnderTest) {
	b.report.Begin("Each at 60 % of what it reaches itself", "requests/s", "p50 µs", "p99 µs", "p99.9 µs")
	for _, e := range proxies {
		if e.asks == "" {
			b.report.Row(e.row(e.own, fmt.Sprintf("%.0f", median(e.rate)*0.6))...)
		}
	}
}

// reportModule reports how the module compares, with the bounds that it was built
// for.
func (b *bench) reportModule(proxies []*proxyUnderTest) error {
	b.report.Begin("Keyward's module", "value")
	for _, n := range []int{moduleFew, moduleMany, quietFew, quietMany} {
		e := proxies[n]
		b.row("requests/s of %s, relative to api_key_auth (at least 0.6)", e.title(), fmt.Sprintf("%.2f", ratioOf(e.rate, proxies[ownFilterOf].rate)))
		b.row("requests/s of %s, relative to asking Keyward (at least 2.5)", e.title(), fmt.Sprintf("%.2f", ratioOf(e.rate, proxies[asksKeyward].rate)))
		b.row("p99 of %s, both at 60 %% of what they reach, relative to Envoy alone (at most 2)", e.title(), fmt.Sprintf("%.2f", ratioOf(e.own[1], proxies[envoyAlone].own[1])))
		b.row("p99 of %s, both at 60 %% of what the module reaches, relative to Envoy alone", e.title(), fmt.Sprintf("%.2f", ratioOf(e.high[1], proxies[envoyAlone].high[1])))
		share, err := e.decidedInside()
		if err != nil {
			return err
		}
		b.row("part of the requests that %s decided (at least 0.99)", e.title(), fmt.Sprintf("%.4f", share))
	}
	return nil
}

// ratioOf returns the median of the ratios, round by round.
func ratioOf(values, to []float64) float64 {
	ratios := make([]float64, len(values))
	for i := range values {
		ratios[i] = values[i] / to[i]
	}
	return median(ratios)
}

// decidedInside returns which part of the requests the module decided, by Envoy's
// decided_total.
func (e *proxyUnderTest) decidedInside() (float64, error) {
	response, err := process.HTTPClient(e.admin).Get("http://envoy/stats/prometheus?filter=decided_total")
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	var inside, all float64
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !strings.Contains(series, "decided_total{") {
			continue
		}
		all += n
		if strings.Contains(series, `by="module"`) {
			inside += n
		}
	}
	if all == 0 {
		return 0, errors.New("no decided_total among the statistics of Envoy")
	}
	return inside / all, nil
}
