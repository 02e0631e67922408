package expose_test

import (
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"backfleet/pkg/obs/expose"
)

// What is written reads as it was meant by Prometheus' own parser.
func TestPrometheusReadsIt(t *testing.T) {
	var p expose.Page
	p.Gauge("slots", "Back\\slash\nand line.", 4, "group", "a\"b\\c\nd", "kind", "x")
	p.Gauge("slots", "", 0.5, "group", "b", "kind", "y")
	p.Counter("ends_total", "Ends.", 1e21)
	h := expose.NewHistogram(0.1, 1)
	for _, v := range []float64{0.1, 0.2, 5, 7} {
		h.Observe(v)
	}
	p.Histogram("took_seconds", "Took.", h)
	p.Process()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	got, err := parser.TextToMetricFamilies(strings.NewReader(p.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, p.String())
	}
	slots := got["slots"]
	if slots.GetHelp() != "Back\\slash\nand line." || len(slots.Metric) != 2 || slots.Metric[0].Label[0].GetValue() != "a\"b\\c\nd" || slots.Metric[1].Gauge.GetValue() != 0.5 {
		t.Errorf("gauges: %v", slots)
	}
	if c := got["ends_total"]; len(c.GetMetric()) != 1 || c.Metric[0].Counter.GetValue() != 1e21 {
		t.Errorf("counter: %v", c)
	}
	took := got["took_seconds"].Metric[0].Histogram
	var counts []uint64
	for _, b := range took.Bucket {
		counts = append(counts, b.GetCumulativeCount())
	}
	if took.GetSampleCount() != 4 || took.GetSampleSum() != 12.3 || len(counts) != 3 || counts[0] != 1 || counts[1] != 2 || counts[2] != 4 {
		t.Errorf("histogram: %v", took)
	}
	for _, name := range []string{"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds", "go_goroutines"} {
		if f := got[name]; f == nil || f.Metric[0].GetGauge().GetValue()+f.Metric[0].GetCounter().GetValue() <= 0 {
			t.Errorf("%s: %v", name, f)
		}
	}
}
