package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/prove"
)

func (s *soak) checkAnswers(loads map[string]*soakAnswers, drained int) {
	s.t.Helper()
	right, resets := 0, 0
	for what, a := range loads {
		right, resets = right+a.right, resets+a.resets
		if a.right == 0 {
			s.t.Errorf("%s: no answer", what)
		}
		for _, problem := range a.problems() {
			s.t.Errorf("%s: %s", what, problem)
		}
	}
	s.t.Logf("%d answers were right; %d streams were reset; Envoy drained %d connections of the load", right, resets, drained)
	s.t.Logf("meanwhile: %v; failed: %v", s.counts, s.failed)
	for _, what := range []string{"configuration reloaded", "key created", "connection reset", "HTTP/1.1 request", "websocket opened", "token used", "key revoked"} {
		if s.counts[what] == 0 {
			s.t.Errorf("not once: %s", what)
		}
	}
	if resets == 0 || drained == 0 {
		s.t.Errorf("%d streams were reset, and %d connections were drained: the load is not what it should be", resets, drained)
	}
}

// checkRevocations compares with the Keyward beside, which follows the same
// file by the same code: what delays it too is the machine.
func (s *soak) checkRevocations() {
	s.t.Helper()
	for _, replaced := range []bool{false, true} {
		var took, sent, seen, beside lags
		for _, r := range s.revoked {
			if r.replaced == replaced {
				took, sent, seen, beside = append(took, r.took), append(sent, max(0, r.lastSent)), append(seen, max(0, r.lastSeen)), append(beside, max(0, r.lastGRPC))
			}
		}
		s.t.Logf("revocations; the key file was replaced meanwhile: %t; each took: %v", replaced, took)
		s.t.Logf("after it returned, the last request that the module allowed was sent after: %v", sent)
		s.t.Logf("and was answered after: %v", seen)
		s.t.Logf("the last that the Keyward beside allowed was sent after: %v", beside)
		p, limit := prove.Size(90, 99), soakInForce
		if replaced {
			limit += 4 * 50 * time.Millisecond // see soakSettle
		}
		if limit = max(limit, 2*beside.percentile(p)); sent.percentile(p) > limit || !replaced && len(sent) == 0 {
			s.t.Errorf("revocations are in force after %v, want %v at most", sent.percentile(p), limit)
		}
	}
}

// soakWaited is how much of a window the worker may have waited for a
// processor. Otherwise other programs had it, and the times are not the
// module's.
const soakWaited = 0.1

// checkTimes judges the windows in which the worker had a processor. It also
// compares them with Envoy alone, since the client may be delayed too.
func (s *soak) checkTimes(with, without windows, span time.Duration) {
	s.t.Helper()
	w, o := with.all(), without.all()
	s.t.Logf("at 60 %% of saturation: with the module p50 %v, p99 %v, p99.9 %v; Envoy alone p50 %v, p99 %v, p99.9 %v",
		w.percentile(50), w.percentile(99), w.percentile(99.9), o.percentile(50), o.percentile(99), o.percentile(99.9))
	var judged, compared windows
	for i := range with {
		if max(with[i].cpu.waited, without[i].cpu.waited).Seconds() < soakWaited*span.Seconds() {
			judged.add(with[i])
			compared.add(without[i])
		}
	}
	if len(judged) == 0 {
		s.t.Logf("p99.9 is not judged: in each of %d windows the worker waited too long for a processor", len(with))
		return
	}
	s.t.Logf("p99.9, median of %d windows of %d: %v with the module, %v without", len(judged), len(with), judged.tail(), compared.tail())
	if limit := max(prove.Size[time.Duration](10, 1)*soakTail, prove.Size[time.Duration](4, 2)*compared.tail()); judged.tail() > limit {
		s.t.Errorf("p99.9 is %v, want %v at most", judged.tail(), limit)
	}
}

// watchResident reads the resident memory of Envoy each second. The result is
// to be read after the churn.
func (s *soak) watchResident() *[]int64 {
	all := &[]int64{s.resident()}
	s.churn.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-s.ending:
				return
			case <-tick.C:
				*all = append(*all, s.resident())
			}
		}
	})
	return all
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// resident returns Envoy's resident memory in bytes; 0 if it has ended.
func (s *soak) resident() int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Proxy.PID()))
	found := residentLine.FindSubmatch(status)
	if found == nil {
		return 0
	}
	kib, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return kib << 10
}

func median64(all []int64) int64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// checkResident compares the thirds of the run, after the first minute of a
// long one.
func (s *soak) checkResident(read []int64) {
	s.t.Helper()
	all := read[prove.Size(2, 60):]
	third := len(all) / 3
	first, second, last := median64(all[:third]), median64(all[third:2*third]), median64(all[2*third:])
	const mib = 1 << 20
	s.t.Logf("resident memory of Envoy: %d MiB at the start, medians of the thirds %d, %d and %d MiB, at most %d MiB",
		read[0]/mib, first/mib, second/mib, last/mib, slices.Max(all)/mib)
	if allowed := max(second/20, prove.Size[int64](40, 15)*mib); last > second+allowed {
		s.t.Errorf("resident memory grew from %d to %d MiB, by more than %d", second/mib, last/mib, allowed/mib)
	}
}

// gauges returns the figures of the Go runtime within Envoy, and Envoy's own,
// by name.
func (s *soak) gauges() map[string]float64 {
	s.t.Helper()
	all := map[string]float64{}
	for _, url := range []string{"http://" + s.envoys.moduleAdmin + "/metrics", "http://" + stack.Address(s.Ports().EnvoyAdmin) + "/stats/prometheus"} {
		response, err := http.Get(url)
		if err != nil {
			s.t.Fatal(err)
		}
		lines := bufio.NewScanner(io.LimitReader(response.Body, 8<<20))
		for lines.Scan() {
			if at := strings.LastIndexByte(lines.Text(), ' '); at > 0 && lines.Text()[0] != '#' {
				if value, err := strconv.ParseFloat(lines.Text()[at+1:], 64); err == nil && !math.IsNaN(value) {
					all[lines.Text()[:at]] = value
				}
			}
		}
		response.Body.Close()
	}
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Proxy.PID()))
	all["open files"] = float64(len(files))
	return all
}

// reported are the figures of the run that are in its output.
var reported = []string{
	"go_goroutines", "go_threads", "go_memstats_heap_inuse_bytes", "go_memstats_sys_bytes", "go_gc_duration_seconds_count", "go_gc_duration_seconds_sum",
	`go_gc_duration_seconds{quantile="0.5"}`, `go_gc_duration_seconds{quantile="1"}`, "envoy_server_memory_allocated{}", "open files",
	"envoy_listener_manager_listener_in_place_updated{}", "envoy_extension_config_discovery_http_filter_keyward_config_reload{}",
	`keyward_config_reloads_total{result="ok"}`,
}

// checkEnvoy wants the process of the beginning, without what the replaced
// filters had, and that the module has decided.
func (s *soak) checkEnvoy(before map[string]float64) {
	s.t.Helper()
	if s.resident() == 0 {
		s.t.Fatal("Envoy has ended")
	}
	time.Sleep(prove.Size(0, 12*time.Second)) // the last replaced listener has been drained
	after := s.gauges()
	for _, name := range reported {
		s.t.Logf("%s: %g before, %g after", name, before[name], after[name])
	}
	for name, more := range map[string]float64{"go_goroutines": 50, "go_threads": 10, "open files": 60} { // those of one more engine, and of connections
		if after[name] > before[name]+more {
			s.t.Errorf("%s: %g before, %g after", name, before[name], after[name])
		}
	}
	wanted := prove.Size[float64](8, 100)
	for _, name := range reported[len(reported)-3 : len(reported)-1] {
		if after[name] < wanted {
			s.t.Errorf("%s is %g, want %g at least", name, after[name], wanted)
		}
	}
	for name, value := range after {
		if strings.HasSuffix(name, "_update_rejected{}") && value > 0 {
			s.t.Errorf("Envoy has refused a configuration: %s is %g", name, value)
		}
	}
	total := 0.0
	for _, n := range s.decided.by {
		total += n
	}
	s.t.Logf("decided: %v, of which the module %.3f %%", s.decided.by, 100*s.decided.by["module"]/total)
	if by := s.decided.by; by["module"] < 0.9*total || by["ext_authz"] == 0 || by["none"] > 0 {
		s.t.Errorf("decided: %v", by)
	}
	for _, bad := range []string{"panic", "Caught", "assert failure"} {
		if strings.Contains(s.Proxy.Log(), bad) {
			s.t.Errorf("Envoy's log has %q", bad)
		}
	}
}

// soakDecided is what Envoy's counter says of who decided.
type soakDecided struct{ before, by map[string]float64 }

// readDecided adds the decisions since the last call. A counter begins again if
// it did not count between the replacement of a filter and its end.
func (s *soak) readDecided() {
	s.t.Helper()
	now := map[string]float64{}
	for name, value := range s.gauges() {
		if strings.HasPrefix(name, "envoy_keyward_decided_total") {
			_, rest, _ := strings.Cut(name, `by="`)
			by, _, _ := strings.Cut(rest, `"`)
			more := value - s.decided.before[name]
			if more < 0 {
				more = value
			}
			now[name] = value
			s.decided.by[by] += more
		}
	}
	s.decided.before = now
}
