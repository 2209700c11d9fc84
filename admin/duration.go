package admin

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Durations is a histogram of the durations of checks, by transport. It is
// native (Prometheus's exponential buckets of schema 3, each 9 % above the one
// before), and has fixed buckets for scrapers that do not support those. An
// observation costs two atomic additions. client_golang's native histogram
// costs five times that, a twelfth of an entire check.
type Durations struct {
	desc      *prometheus.Desc
	createdAt time.Time
	by        [authz.TransportCount]durations
}

type durations struct {
	sum   atomic.Int64 // nanoseconds
	cells [cellCount]atomic.Uint64
}

const (
	schema    = 3
	perOctave = 1 << schema
	// The native buckets. Each ends at 2^(index/perOctave) seconds; they cover
	// 60 ns to 16 s. Shorter and longer durations are in the first and the last
	// bucket.
	firstIndex = -24 * perOctave
	lastIndex  = 4 * perOctave
	cellCount  = lastIndex - firstIndex + 1 + len(classic)

	// No duration is as short as this. A threshold above zero marks the
	// histogram as native while it is empty. Prometheus before 2.45 needs that
	// too: it applies the first transport's to all.
	zeroThreshold = prometheus.DefNativeHistogramZeroThreshold
)

// classic has the upper bounds of the fixed buckets, in seconds.
var classic = [...]float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3}

func nativeEnd(index int) int64 { return int64(1e9 * math.Exp2(float64(index)/perOctave)) }

// cellEnd has each cell's upper bound in nanoseconds. Every bucket, native or
// fixed, ends at the end of a cell.
var cellEnd = func() (ends [cellCount]int64) {
	all := make([]int64, 0, cellCount)
	for i := firstIndex; i <= lastIndex; i++ {
		all = append(all, nativeEnd(i))
	}
	for _, bound := range classic {
		all = append(all, int64(math.Round(bound*1e9)))
	}
	slices.Sort(all)
	copy(ends[:], all)
	return ends
}()

// firstCell has the first cell that a duration can be in, by its highest bit
// and the three bits below.
var firstCell = func() (table [65 * perOctave]uint16) {
	for i := range table {
		length, rest := i/perOctave, i%perOctave
		smallest := uint64(0)
		if length > schema {
			smallest = uint64(perOctave|rest) << (length - schema - 1)
		}
		for int(table[i]) < cellCount-1 && uint64(cellEnd[table[i]]) < smallest {
			table[i]++
		}
	}
	return table
}()

func cellOf(ns int64) int {
	ns = max(ns, 0)
	length := bits.Len64(uint64(ns))
	rest := uint64(ns) << (64 - length) << 1 >> (64 - schema) // the bits below the highest one
	cell := int(firstCell[length*perOctave+int(rest)])
	for cell < cellCount-1 && ns > cellEnd[cell] {
		cell++
	}
	return cell
}

// NewDurations registers the histogram under the name.
func NewDurations(registry prometheus.Registerer, name, help string) (*Durations, error) {
	d := &Durations{desc: prometheus.NewDesc(name, help, []string{"transport"}, nil), createdAt: time.Now()}
	return d, registry.Register(d)
}

// Observe counts a check.
func (d *Durations) Observe(transport authz.Transport, took time.Duration) {
	h := &d.by[transport]
	h.cells[cellOf(int64(took))].Add(1)
	h.sum.Add(int64(took))
}

// Describe implements prometheus.Collector.
func (d *Durations) Describe(ch chan<- *prometheus.Desc) { ch <- d.desc }

// Collect implements prometheus.Collector.
func (d *Durations) Collect(ch chan<- prometheus.Metric) {
	for transport := range authz.TransportCount {
		ch <- &durationMetric{d, transport}
	}
}

// durationMetric is the histogram of one transport.
type durationMetric struct {
	*Durations
	transport authz.Transport
}

// Desc implements prometheus.Metric.
func (m *durationMetric) Desc() *prometheus.Desc { return m.desc }

// Write implements prometheus.Metric.
func (m *durationMetric) Write(out *dto.Metric) error {
	h := &m.by[m.transport]
	var counts [cellCount]uint64
	total := uint64(0)
	for i := range h.cells {
		counts[i] = h.cells[i].Load()
		total += counts[i]
	}
	label, value, sum, scale, threshold, zero := "transport", m.transport.String(), float64(h.sum.Load())/1e9, int32(schema), zeroThreshold, uint64(0)
	out.Label = []*dto.LabelPair{{Name: &label, Value: &value}}
	out.Histogram = &dto.Histogram{
		SampleCount: &total, SampleSum: &sum, Bucket: classicBuckets(counts[:]),
		Schema: &scale, ZeroThreshold: &threshold, ZeroCount: &zero, CreatedTimestamp: timestamppb.New(m.createdAt),
	}
	out.Histogram.PositiveSpan, out.Histogram.PositiveDelta = spans(nativeBuckets(counts[:]))
	return nil
}

// classicBuckets returns the fixed buckets, as cumulative counts of the cells.
func classicBuckets(counts []uint64) []*dto.Bucket {
	var buckets []*dto.Bucket
	cell, below := 0, uint64(0)
	for _, bound := range classic {
		for end := cellOf(int64(math.Round(bound * 1e9))); cell <= end; cell++ {
			below += counts[cell]
		}
		count := below
		buckets = append(buckets, &dto.Bucket{UpperBound: &bound, CumulativeCount: &count})
	}
	return buckets
}

// nativeBuckets returns the counts by index, from firstIndex on.
func nativeBuckets(counts []uint64) (native [lastIndex - firstIndex + 1]uint64) {
	bucket := 0
	for cell, n := range counts {
		native[bucket] += n
		if cellEnd[cell] == nativeEnd(firstIndex+bucket) {
			bucket++
		}
	}
	return native
}

// spans returns the filled buckets of the native histogram: runs of buckets,
// each with its distance from the end of the run before, and the differences
// between successive counts.
func spans(buckets [lastIndex - firstIndex + 1]uint64) (runs []*dto.BucketSpan, deltas []int64) {
	next, last := 0, int64(0)
	for i, n := range buckets {
		if n == 0 {
			continue
		}
		if len(runs) == 0 || i != next {
			offset, length := int32(i-next), uint32(0)
			if len(runs) == 0 {
				offset += firstIndex
			}
			runs = append(runs, &dto.BucketSpan{Offset: &offset, Length: &length})
		}
		*runs[len(runs)-1].Length++
		deltas = append(deltas, int64(n)-last)
		next, last = i+1, int64(n)
	}
	return runs, deltas
}
