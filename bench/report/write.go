package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The files that Write creates.
const (
	TablesFile = "benchmark.md"
	ChartFile  = "benchmark.svg"
)

// Write writes the tables to a directory as Markdown, and the chart if there are
// bars. Rounds and span are those of the measurements.
func (r *Report) Write(dir string, rounds int, span time.Duration) error {
	if len(r.Bars) > 0 {
		chart := drawChart(fmt.Sprintf("Server CPU per check at saturation, median of %d rounds, in µs", rounds), r.Bars)
		if err := os.WriteFile(filepath.Join(dir, ChartFile), chart, 0o644); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, `# Benchmark

Written by %[1]sgo run ./bench -write docs%[1]s, which is part of %[1]smake bench%[1]s.

%[2]s.

Everything that is compared is measured in turn, in %[3]d rounds of %[4]s each.
Figures are medians; a ratio is the median of the ratios to the baseline, measured right before and after.
The baseline is an ext_authz server of stock grpc-go and go-control-plane (bench/baseline.go) that allows every request unchecked.
A server at saturation has one core, and the client has the other. With GOMAXPROCS 2 the server has both cores, and shares one with the client.
CPU is the CPU time of all threads of the server, including those of the garbage collector.
Objects and bytes are the server's allocations per call.
Times are measured by the client, with 128 requests in flight, and are mostly spent in queues.
`, "`", machine(), rounds, span)
	if len(r.Bars) > 0 {
		fmt.Fprintf(&text, "\n![Server CPU per check, compared with the baseline](%s)\n", ChartFile)
	}
	for _, t := range r.tables {
		if len(t.rows) > 0 {
			t.markdown(&text)
		}
	}
	return os.WriteFile(filepath.Join(dir, TablesFile), text.Bytes(), 0o644)
}

func (t *table) markdown(to *bytes.Buffer) {
	fmt.Fprintf(to, "\n| %s | %s |\n| --- |%s\n", t.title, strings.Join(t.heads, " | "), strings.Repeat(" ---: |", len(t.heads)))
	for _, cells := range t.rows {
		fmt.Fprintf(to, "| %s |\n", strings.Join(cells, " | "))
	}
}

// machine returns what the benchmark was measured on, and when.
func machine() string {
	processor := "an unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo") // if it cannot be read, the processor is unknown
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			processor = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("Measured on %s with %s (%s/%s) on %d cores of %s",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor)
}
