package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"keyward/internal/eventually"
	"keyward/store"
)

// limit is what the admin listener says of a key's limit.
type limit struct {
	Limit     string
	Rate      string
	Burst     int
	Remaining int
	Reset     float64 `json:"reset_seconds"`
	Retry     float64 `json:"retry_after_seconds"`
}

func (r *running) limitOf(id string) (l limit) {
	r.t.Helper()
	status, body := r.get("/limits/" + id)
	if err := json.Unmarshal([]byte(body), &l); status != 200 || err != nil {
		r.t.Fatalf("/limits/%s: %d %s", id, status, body)
	}
	return l
}

// use asks n times and holds all of them to the status.
func (r *running) use(n int, target, key string, want int) {
	r.t.Helper()
	for i := range n {
		if status, reason := r.ask(target, key); status != want {
			r.t.Fatalf("request %d of %d to %s: %d %s, want %d", i+1, n, target, status, reason, want)
		}
	}
}

// reloaded puts the configuration in force and waits until it is.
func (r *running) reloaded(text string) {
	r.t.Helper()
	done := func() int { return strings.Count(r.log.String(), `"msg":"configuration reloaded"`) }
	before := done()
	r.configure(text)
	r.reload <- struct{}{}
	eventually.Succeeds(r.t, func() error {
		if done() == before {
			return fmt.Errorf("not reloaded: %s", r.log)
		}
		return nil
	})
}

// ids are those of all keys, in the order in which they were made.
func (r *running) ids() (ids []string) {
	r.t.Helper()
	records, _, err := r.keyReader().List(context.Background(), store.KeyFilter{}, store.Page{})
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range records {
		ids = append(ids, records[i].ID)
	}
	return ids
}

// TestLimitsArrive: each line of rate_limits, and who is refused by it.
func TestLimitsArrive(t *testing.T) {
	var keys []string
	r := start(t, baseConfig+`
rate_limits: {api_key: 5/h, anonymous: 3/h, failed: 4/h}
routes: [{path: /public, auth: none}, {path: /narrow, rate: 2/h}, {path: /watched, rate: {rate: 1/h, shadow: true}}]
`, func(r *running) {
		keys = []string{r.create(store.KeyParams{}), r.create(store.KeyParams{Rate: "7/d"}), r.create(store.KeyParams{})}
	})
	ids := r.ids()
	r.becomes("/", keys[0], 200)
	r.use(4, "/", keys[0], 200)
	r.use(2, "/", keys[0], 429)
	r.use(7, "/", keys[1], 200)
	r.use(2, "/", keys[1], 429)
	r.use(2, "/narrow", keys[2], 200)
	r.use(2, "/narrow", keys[2], 429)
	r.use(3, "/watched", keys[2], 200)
	r.use(1, "/", keys[2], 429)
	r.use(3, "/public", "", 200)
	r.use(1, "/public", "", 429)
	if l := r.limitOf(ids[0]); l.Limit != "api_key" || l.Rate != "5/h" || l.Burst != 5 || l.Remaining != 0 || l.Retry <= 0 || l.Reset <= 0 {
		t.Errorf("%+v", l)
	}
	if l := r.limitOf(ids[1]); l.Limit != "key" || l.Rate != "7/d" || l.Burst != 7 {
		t.Errorf("with a rate of its own: %+v", l)
	}
	r.use(4, "/", "kw_nonsense", 401)
	r.use(1, "/", "kw_nonsense", 429)
	r.use(1, "/", keys[0], 429) // all come from one address here
	_, metrics := r.get("/metrics")
	for _, want := range []string{
		`keyward_rate_limited_total{method="api_key"} 7`, `keyward_rate_limited_total{method="anonymous"} 1`, `keyward_rate_limited_total{method="none"} 2`,
		`keyward_rate_limit_shadowed_total{limit="route"} 2`, "keyward_rate_limit_buckets 7", "keyward_rate_limit_evictions_total 0", "keyward_rate_limit_store_up 1",
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("/metrics has no %s", want)
		}
	}
	if log := r.log.String(); !strings.Contains(log, `"reason":"rate_limited","status":429`) || !strings.Contains(log, `"key_id":"`+ids[0]) {
		t.Errorf("log: %s", log)
	}
	if _, use := r.get("/usage/" + ids[1]); !strings.Contains(use, `"rate_limited":2`) || !strings.Contains(use, `"ok":7`) {
		t.Errorf("the account of its use: %s", use)
	}
}

// TestRotatedKeyKeepsItsCount: a new secret does not have a new limit, nor has the old one in its grace.
func TestRotatedKeyKeepsItsCount(t *testing.T) {
	var key string
	r := start(t, baseConfig+"rate_limits: {api_key: 4/h}\n", func(r *running) { key = r.create(store.KeyParams{}) })
	r.becomes("/", key, 200)
	r.use(1, "/", key, 200)
	_, fresh, err := r.keys(nil).Rotate(context.Background(), r.ids()[0], "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.becomes("/", fresh.Reveal(), 200)
	r.use(1, "/", key, 200)
	r.use(1, "/", fresh.Reveal(), 429)
	r.use(1, "/", key, 429)
}

// TestReloadKeepsCounts: what was used stays used, under the rates of the day.
func TestReloadKeepsCounts(t *testing.T) {
	var key string
	limits := func(text string) string { return baseConfig + "rate_limits: {" + text + "}\n" }
	r := start(t, limits("api_key: 4/h"), func(r *running) { key = r.create(store.KeyParams{}) })
	id := r.ids()[0]
	r.becomes("/", key, 200)
	r.use(3, "/", key, 200)
	r.use(1, "/", key, 429)

	r.reloaded(limits("api_key: 6/h"))
	if l := r.limitOf(id); l.Rate != "6/h" || l.Remaining != 2 {
		t.Errorf("with more a reload: %+v", l)
	}
	r.use(2, "/", key, 200)
	r.use(1, "/", key, 429)
	r.reloaded(limits("api_key: 3/h"))
	if l := r.limitOf(id); l.Rate != "3/h" || l.Remaining != 0 {
		t.Errorf("with less: %+v", l)
	}
	r.reloaded(limits(""))
	r.use(3, "/", key, 200)
	if status, body := r.get("/limits/" + id); status != 404 {
		t.Errorf("without a limit: %d %s", status, body)
	}
	r.reloaded(limits("api_key: 3/h"))
	r.use(1, "/", key, 429)
}

// TestReloadElsewhere: counts that are kept elsewhere, or in a memory of another size, begin again.
func TestReloadElsewhere(t *testing.T) {
	var key string
	limits := func(text string) string { return baseConfig + "rate_limits: {api_key: 2/h" + text + "}\n" }
	r := start(t, limits(""), func(r *running) { key = r.create(store.KeyParams{}) })
	r.becomes("/", key, 200)
	r.use(1, "/", key, 200)
	r.use(1, "/", key, 429)
	r.reloaded(limits(", max_buckets: 5000"))
	r.use(2, "/", key, 200)
	r.use(1, "/", key, 429)

	// No server answers there, so each replica counts alone, with half of the limit.
	unreachable := `, max_buckets: 5000, store: "redis://127.0.0.1:1", replicas: 2`
	r.reloaded(limits(unreachable))
	r.use(1, "/", key, 200)
	r.use(1, "/", key, 429)
	if _, metrics := r.get("/metrics"); !strings.Contains(metrics, "keyward_rate_limit_local_decisions_total 2\n") {
		t.Error("what was decided without the store is not counted")
	}
	r.reloaded(limits(unreachable + ", on_store_failure: deny"))
	r.use(1, "/", key, 503)
	eventually.Succeeds(t, func() error {
		r.use(1, "/", key, 503)
		if _, metrics := r.get("/metrics"); !strings.Contains(metrics, "keyward_rate_limit_store_up 0\n") {
			return fmt.Errorf("the store is up")
		}
		return nil
	})
	r.reloaded(limits(unreachable + ", on_store_failure: allow"))
	r.use(5, "/", key, 200)

	// A store that can't be opened leaves all as it was.
	r.configure(limits(`, store: "redis://127.0.0.1:1/nonsense"`))
	r.reload <- struct{}{}
	eventually.Succeeds(t, func() error {
		if !strings.Contains(r.log.String(), "configuration not reloaded") {
			return fmt.Errorf("log: %s", r.log)
		}
		return nil
	})
	r.use(5, "/", key, 200)
}
