package observe

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

var update = flag.Bool("observe.update", false, "write METRICS.md")

var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		var done func()
		var err error
		if binary, done, err = rig.Build("../.."); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer done()
		return m.Run()
	}())
}

// elsewhere are figures that this fleet does not have, and why.
var elsewhere = map[string]string{
	"backfleet_certificate_expiry_timestamp_seconds": "with TLS",
	"backfleet_agent_lease_left_seconds":             "on an agent, while something runs",
	"backfleet_directory_agents":                     "with etcd",
	"backfleet_log_copies_behind_bytes":              "with another coordinator",
	"backfleet_log_copies_down":                      "with another coordinator",
	"backfleet_snapshot_bytes":                       "after the first snapshot",
	"backfleet_snapshot_timestamp_seconds":           "after the first snapshot",
	"backfleet_ready_instances":                      "on the leader, where something waits",
	"backfleet_ready_oldest_seconds":                 "on the leader, where something waits",
}

type families map[string]*dto.MetricFamily

func scrape(ctx context.Context, url string) (families, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(got.Body)
		return nil, fmt.Errorf("%s: %s", got.Status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(got.Body)
}

// What is documented, watched and drawn is what a coordinator and an agent say of
// themselves after some work.
func TestFiguresAreThoseOfRealProcesses(t *testing.T) {
	ports, err := fleet.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	r := rig.Start(t, fleet.Config{Binary: binary, Agents: 1, AgentFlags: []string{"--metrics", ports[0]}})
	r.Apply(rig.Node{ID: "works", Code: "trace end\n"})
	id := r.Submit(v1.BackfillRequest{Root: "works", Mode: v1.ModeCurrent, Dates: []string{"2024-01-01..2024-01-03"}})
	r.Succeeded(id, 3)
	var coordinator families
	r.Until("the figures know of it", func() bool {
		coordinator, err = scrape(r.Ctx, r.Servers[0])
		return err == nil && sum(coordinator["backfleet_attempts_total"], "outcome", "succeeded") == 3
	})
	agent, err := scrape(r.Ctx, "http://"+ports[0])
	r.Must(err)
	for name, want := range map[string]uint64{"backfleet_queue_wait_seconds": 3, "backfleet_grant_start_seconds": 3, "backfleet_start_latency_seconds": 3} {
		if got := samples(coordinator[name]); got != want {
			t.Errorf("%s: %d attempts, expected %d", name, got, want)
		}
	}
	if got := sum(agent["backfleet_agent_results_total"], "outcome", "succeeded"); got != 3 {
		t.Errorf("the agent knows of %v results: expected 3", got)
	}
	offset := agent["backfleet_agent_clock_offset_seconds"]
	if offset == nil || max(offset.Metric[0].Gauge.GetValue(), -offset.Metric[0].Gauge.GetValue()) > 2 {
		t.Errorf("two processes of one host have one clock: %v", offset)
	}
	known := map[string]bool{"up": true}
	for _, f := range []families{coordinator, agent} {
		for name := range f {
			known[name] = true
		}
	}
	for name := range elsewhere {
		known[name] = true
	}
	for name, where := range used(t) {
		if !known[name] {
			t.Errorf("%s asks for %s, which nobody has", where, name)
		}
	}
	compare(t, coordinator, agent)
}

// sum adds up the samples with a label.
func sum(f *dto.MetricFamily, name, value string) (total float64) {
	for _, m := range f.GetMetric() {
		if slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == name && l.GetValue() == value }) {
			total += m.GetCounter().GetValue()
		}
	}
	return total
}

func samples(f *dto.MetricFamily) (total uint64) {
	for _, m := range f.GetMetric() {
		total += m.GetHistogram().GetSampleCount()
	}
	return total
}

var (
	ofOurs = regexp.MustCompile(`\b(?:backfleet|process|go)_[a-z0-9_]+`)
	suffix = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// used are the figures that alerts and dashboards ask for.
func used(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	paths, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(paths) < 4 {
		t.Fatal(paths, err)
	}
	for _, path := range append(paths, "alerts.yml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range ofOurs.FindAllString(string(text), -1) {
			out[suffix.ReplaceAllString(name, "")] = path
		}
	}
	if len(out) < 40 {
		t.Fatalf("only %d figures are asked for: expected more", len(out))
	}
	return out
}

// compare holds METRICS.md against what was scraped.
func compare(t *testing.T, coordinator, agent families) {
	t.Helper()
	text, err := os.ReadFile("METRICS.md")
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := "# Figures\n\nMade of real scrapes: `go test ./ops/observe -observe.update`. Which question each answers is said in\n" +
		"`coordinator/server/DESIGN.md`; figures of Go and of the process are left out.\n"
	for _, part := range []struct {
		title string
		of    families
	}{{"Coordinators, `/metrics` on the http port", coordinator}, {"Agents, `/metrics` at the setting `metrics`", agent}} {
		want += "\n## " + part.title + "\n\n| figure | kind | what it is |\n|---|---|---|\n"
		for _, name := range slices.Sorted(maps.Keys(part.of)) {
			if strings.HasPrefix(name, "backfleet_") && elsewhere[name] == "" {
				want += row(part.of[name]) + "\n"
			}
		}
	}
	want += "\n## Not always there\n\n| figure | where |\n|---|---|\n"
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		want += "| `" + name + "` | " + elsewhere[name] + " |\n"
	}
	if *update {
		if err := os.WriteFile("METRICS.md", []byte(want), 0o644); err != nil { //nolint:gosec // for everybody
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("METRICS.md is stale: run go test ./ops/observe -observe.update. Expected\n%s", want)
	}
}

func row(f *dto.MetricFamily) string {
	labels := map[string]bool{}
	for _, m := range f.Metric {
		for _, l := range m.Label {
			labels[l.GetName()] = true
		}
	}
	name := f.GetName()
	if len(labels) > 0 {
		name += "{" + strings.Join(slices.Sorted(maps.Keys(labels)), ",") + "}"
	}
	return fmt.Sprintf("| `%s` | %s | %s |", name, strings.ToLower(f.GetType().String()), cmp.Or(f.GetHelp(), "?"))
}
