package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"

	"keyward/internal/markdown"
)

// TestMetricsAreDocumented compares the table of docs/metrics.md with what a new
// server has at /metrics: name, type and labels of each metric, and the values
// of each label that has a closed set.
func TestMetricsAreDocumented(t *testing.T) {
	shown, values := metricRows(t)
	for name, want := range servedMetrics(t) {
		row, ok := shown[name]
		if delete(shown, name); !ok {
			t.Errorf("docs/metrics.md has no row of %s", name)
			continue
		}
		for _, label := range row.labels {
			if row.values[label] == nil {
				row.values[label] = values[label]
			}
		}
		row.compare(t, name, want)
	}
	for name := range shown {
		t.Errorf("docs/metrics.md has %s, which is not there", name)
	}
}

// metricRow is a row of the page: a metric, or several of one kind.
type metricRow struct {
	line   int
	typ    string
	native bool // a native histogram, too
	labels []string
	values map[string][]string // of a label, if the row lists them
}

// sameAs are metrics that the page does not repeat: it has `keyward_users_file_…`
// for those that are named as the key file's.
var sameAs = map[string]string{"keyward_users_file_": "keyward_key_file_", "keyward_revocations_file_": "keyward_key_file_", "keyward_clients_file_": "keyward_key_file_"}

// metricRows returns the rows of the page by the names of the metrics, and the
// values of each label where the page has them first: later rows need not repeat them.
func metricRows(t *testing.T) (all map[string]metricRow, values map[string][]string) {
	t.Helper()
	all, values = map[string]metricRow{}, map[string][]string{}
	for _, s := range markdown.Read(t, "../../docs/metrics.md") {
		for _, table := range s.Tables {
			if !table.Has("metric", "type", "labels") {
				continue
			}
			for _, row := range table.Rows {
				for _, name := range markdown.Code(table.Column(row, "metric")) {
					prefix, several := strings.CutSuffix(name, "…")
					if !several {
						all[name] = newMetricRow(row.Line, table.Column(row, "type"), table.Column(row, "labels"))
						for label, listed := range all[name].values {
							if values[label] == nil {
								values[label] = listed
							}
						}
						continue
					}
					for known, r := range maps.Clone(all) {
						if suffix, ok := strings.CutPrefix(known, sameAs[prefix]); ok && sameAs[prefix] != "" {
							all[prefix+suffix] = r
						}
					}
				}
			}
		}
	}
	return all, values
}

// newMetricRow reads the cells of a row. In that of the labels, code outside of
// parentheses is a label, and the code in the parentheses behind it are its values.
func newMetricRow(line int, typ, labels string) metricRow {
	typ, more, _ := strings.Cut(typ, ", ")
	row := metricRow{line: line, typ: typ, native: strings.Contains(more, "native"), values: map[string][]string{}}
	depth := 0
	for i, part := range strings.Split(labels, "`") {
		switch inCode := i%2 == 1; {
		case !inCode:
			depth += strings.Count(part, "(") - strings.Count(part, ")")
		case depth == 0:
			row.labels = append(row.labels, part)
		default:
			label := row.labels[len(row.labels)-1]
			row.values[label] = append(row.values[label], part)
		}
	}
	return row
}

// open are labels whose values the page does not list: those of reason are in docs/reasons.md.
var open = []string{"reason", "issuer", "version", "goversion"}

func (row *metricRow) compare(t *testing.T, name string, want *dto.MetricFamily) {
	t.Helper()
	values, native := map[string][]string{}, false
	for _, m := range want.Metric {
		native = native || m.GetHistogram() != nil && m.Histogram.Schema != nil
		for _, label := range m.Label {
			if v := values[label.GetName()]; !slices.Contains(v, label.GetValue()) {
				values[label.GetName()] = append(v, label.GetValue())
			}
		}
	}
	if typ := strings.ToLower(want.GetType().String()); row.typ != typ || row.native != native {
		t.Errorf("docs/metrics.md:%d: %s is a %s, native: %t", row.line, name, typ, native)
	}
	if len(row.labels) != len(values) {
		t.Errorf("docs/metrics.md:%d: %s has the labels %v", row.line, name, values)
	}
	for label, want := range values {
		got := slices.Sorted(slices.Values(row.values[label]))
		slices.Sort(want)
		if !slices.Contains(row.labels, label) || !slices.Contains(open, label) && !slices.Equal(got, want) || slices.Contains(open, label) && len(got) > 0 {
			t.Errorf("docs/metrics.md:%d: label %s of %s has the values %q, want %q", row.line, label, name, got, want)
		}
	}
}

// servedMetrics starts a server in which everything that has metrics of its own
// is configured, and returns those of Keyward by name.
func servedMetrics(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	dir := t.TempDir()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "admin.sock")
	for name, text := range map[string]string{
		"jwks.json": fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"a","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public)),
		"keyward.yaml": fmt.Sprintf(`
listen: {grpc: %q, http: "", admin: %q}
keys: {file: keys.jsonl}
users: {file: users.jsonl}
revocations: {file: revocations.jsonl}
store: {url: %q} # there is no such database: the server starts without
jwt: [{issuer: a, algorithms: [EdDSA], jwks_file: jwks.json}]
`, "unix://"+filepath.Join(dir, "grpc.sock"), "unix://"+socket, "postgres://keyward@/keyward?host="+dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, dir)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://keyward/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	response, err := client.Do(request)
	for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); response, err = client.Do(request) {
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return families(t, response.Body)
}

// serve runs `keyward serve` in the directory until the test ends.
func serve(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("keyward", "serve", "--config", "keyward.yaml")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
}

func families(t *testing.T, body io.Reader) map[string]*dto.MetricFamily {
	t.Helper()
	all := map[string]*dto.MetricFamily{}
	in := bufio.NewReader(body)
	for {
		family := &dto.MetricFamily{}
		switch err := protodelim.UnmarshalFrom(in, family); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		case strings.HasPrefix(family.GetName(), "keyward_"):
			all[family.GetName()] = family
		}
	}
}
