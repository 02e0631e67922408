package suite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"backfleet/pkg/fault"
)

// verdict is one thing that must be so after a soak.
type verdict struct {
	what   string
	figure string
	limit  string
	holds  bool
	shown  bool // only shown: the soak was too short for it to say something
}

// The limits. A leak of what an instance weighs would make memory grow by more
// than its level in an hour; the noise of a shared machine is a tenth of that.
const (
	mostGrowth     = 0.15 // of memory and disk, of their level, in an hour
	mostCreep      = 0.05 // of goroutines and open files, the same
	leastRate      = 0.90 // throughput of the last tenth, of the first's
	mostSlower     = 1.5  // latency of the last tenth, of the first's, and
	mostSlowerMs   = 3.0  // so many milliseconds besides
	mostSlowerTail = 2.0  // the same of the slowest hundredth
	mostTailMs     = 20.0

	// Files on disk grow and go in steps, in MB.
	walStep   = 64 // a segment of the replicated log, whose space is taken beforehand
	storeStep = 8  // a table of the store
	agentStep = 4  // the keeper's journal
)

// slope is the Theil–Sen slope of points: the median of the slopes between any
// two. A quarter of the points may be anything, such as those after a restart.
func slope(x, y []float64) float64 {
	var all []float64
	for i := range x {
		for j := range i {
			if x[i] != x[j] {
				all = append(all, (y[i]-y[j])/(x[i]-x[j]))
			}
		}
	}
	return median(all)
}

// series is a figure over the samples of the second half.
type series struct {
	what, unit string
	of         func(sample) float64
	most       float64 // growth in an hour, of the level
	step       float64 // not 0: it goes up and down by such steps, and its peaks are compared instead
}

func sumOf(of func(standing) float64) func(sample) float64 {
	return func(s sample) (total float64) {
		for _, c := range s.Coordinators {
			total += of(c)
		}
		return total
	}
}

func mostOf(of func(standing) float64) func(sample) float64 {
	return func(s sample) (most float64) {
		for _, c := range s.Coordinators {
			most = max(most, of(c))
		}
		return most
	}
}

var soakSeries = []series{
	{"resident memory of the largest coordinator", "MB", mostOf(func(c standing) float64 { return c.RSS }), mostGrowth, 0},
	{"live heap of the largest coordinator", "MB", mostOf(func(c standing) float64 { return c.Live }), mostGrowth, 0},
	{"raft logs and snapshots on disk", "MB", sumOf(func(c standing) float64 { return c.LogMB + c.SnapshotsMB }), mostGrowth, walStep},
	{"stores of attempts' logs on disk", "MB", sumOf(func(c standing) float64 { return c.LogsMB }), mostGrowth, storeStep},
	{"goroutines of the coordinators", "goroutines", sumOf(func(c standing) float64 { return c.Goroutines }), mostCreep, 0},
	{"open files of the coordinators, but the tables of their stores", "files", sumOf(func(c standing) float64 { return c.Files }), mostCreep, 0},
	{"resident memory of the real agent", "MB", func(s sample) float64 { return s.Agent.RSS }, mostGrowth, 0},
	{"goroutines of the real agent", "goroutines", func(s sample) float64 { return s.Agent.Goroutines }, mostCreep, 0},
	{"open files of the real agent", "files", func(s sample) float64 { return s.Agent.Files }, mostCreep, 0},
	{"real agent's folder on disk", "MB", func(s sample) float64 { return s.Agent.LogsMB }, mostGrowth, agentStep},
}

// plateau judges a series over the second half.
func (s *soak) plateau(of series) verdict {
	var x, y []float64
	for _, p := range s.samples {
		if p.Seconds >= s.o.length.Seconds()/2 && p.Seconds <= s.o.length.Seconds() && p.all(s.kills, s.settling()) {
			x, y = append(x, p.Seconds/3600), append(y, of.of(p))
		}
	}
	level := median(y)
	if len(x) < 3 || level <= 0 {
		return verdict{what: of.what, figure: "not measured", limit: "a plateau", shown: s.o.length < judged}
	}
	if of.step > 0 {
		middle := (x[0] + x[len(x)-1]) / 2
		cut := max(1, slices.IndexFunc(x, func(at float64) bool { return at > middle }))
		before, after := slices.Max(y[:cut]), slices.Max(y[cut:])
		return verdict{
			what: of.what + ", highest of the third quarter → of the fourth", figure: fmt.Sprintf("%s → %s", number(before, of.unit), number(after, of.unit)),
			limit: fmt.Sprintf("≤ %+.0f %% + %.0f %s", of.most*100, of.step, of.unit), holds: after <= before*(1+of.most)+of.step, shown: s.o.length < judged,
		}
	}
	grows := slope(x, y) / level
	return verdict{
		what: of.what, figure: fmt.Sprintf("%s, %+.1f %%/h; at most %s", number(level, of.unit), grows*100, number(slices.Max(y), of.unit)),
		limit: fmt.Sprintf("≤ %+.0f %%/h", of.most*100), holds: grows <= of.most, shown: s.o.length < judged,
	}
}

// settling is how long after a kill samples do not count.
func (s *soak) settling() time.Duration { return min(time.Minute, s.o.length/30) }

// tenths gives the first and the last tenth, without the beginning, in which
// agents come.
func (s *soak) tenths() (first, last [2]time.Time) {
	warm := min(30*time.Second, s.o.length/20)
	tenth := (s.o.length - warm) / 10
	begin, end := s.began.Add(warm), s.began.Add(s.o.length)
	return [2]time.Time{begin, begin.Add(tenth)}, [2]time.Time{end.Add(-tenth), end}
}

func (s *soak) rateIn(t [2]time.Time) float64 {
	var in []sample
	for _, p := range s.samples {
		if !p.At.Before(t[0]) && p.At.Before(t[1].Add(time.Second)) {
			in = append(in, p)
		}
	}
	if len(in) < 2 {
		return 0
	}
	a, b := in[0], in[len(in)-1]
	return float64(b.Finished-a.Finished) / b.At.Sub(a.At).Seconds()
}

func (s *soak) noSlowdown() (out []verdict) {
	first, last := s.tenths()
	a, b := s.rateIn(first), s.rateIn(last)
	out = append(out, verdict{
		what: "instances a second, first tenth → last tenth", figure: fmt.Sprintf("%s → %s", number(a, "/s"), number(b, "/s")),
		limit: fmt.Sprintf("≥ %.0f %%", leastRate*100), holds: b >= a*leastRate && b > 0, shown: s.o.length < judged,
	})
	for _, kind := range []string{"list", "detail"} {
		for _, p := range []struct{ percent, factor, ms float64 }{{50, mostSlower, mostSlowerMs}, {99, mostSlowerTail, mostTailMs}} {
			a, b := percentile(s.between(kind, first[0], first[1]), p.percent), percentile(s.between(kind, last[0], last[1]), p.percent)
			out = append(out, verdict{
				what:   fmt.Sprintf("API, %s of plans, p%.0f, first tenth → last tenth", kind, p.percent),
				figure: fmt.Sprintf("%s → %s", number(a, "ms"), number(b, "ms")),
				limit:  fmt.Sprintf("≤ %.1f× + %.0f ms", p.factor, p.ms), holds: b > 0 && b <= a*p.factor+p.ms, shown: s.o.length < judged,
			})
		}
	}
	return out
}

// Once says that n instances ran and succeeded once, none beside itself.
func (a audit) Once(n int) bool {
	return a.Started == n && a.Succeeded == n && a.Again == 0 && a.Twice == 0 && a.AtOnce == 0
}

func (s *soak) exactlyOnce() []verdict {
	instances, wrong := 0, []string(nil)
	for _, p := range s.plans {
		instances += p.Instances
		if !p.once {
			wrong = append(wrong, p.ID)
		}
	}
	out := []verdict{{
		what:   fmt.Sprintf("plans whose every instance happened once, by the API and by the agents; %s instances", thousands(fmt.Sprint(instances))),
		figure: fmt.Sprintf("%d of %d %s", len(s.plans)-len(wrong), len(s.plans), strings.Join(wrong, " ")), limit: "all",
		holds: len(wrong) == 0 && len(s.plans) > 0,
	}}
	real, scheduled, missing, twice, err := s.realOnce()
	v := verdict{
		what:   fmt.Sprintf("real processes missing, or beside another of the instance: %d instances of %d plans, %d of the schedule", real, len(s.shells), scheduled),
		figure: fmt.Sprintf("%d missing, %d twice", missing, twice), limit: "0", holds: missing == 0 && twice == 0 && real > 0 && scheduled > 0,
	}
	if err != nil {
		v.figure, v.holds = err.Error(), false
	}
	return append(out, v)
}

// conclude prints the verdicts and gives an error when one does not hold.
func (s *soak) conclude(report *Report, out io.Writer) error {
	s.mu.Lock()
	errs := s.errs
	s.mu.Unlock()
	verdicts := s.exactlyOnce()
	killed, stalled, unexplained := s.changesBy()
	verdicts = append(verdicts, verdict{
		what: fmt.Sprintf("changes of leadership that neither a kill (%d) nor a machine standing still (%d; %d times over %d ms, at most %.0f ms) explains",
			killed, stalled, len(s.stalls), leastStall.Milliseconds(), s.worstStall()),
		figure: fmt.Sprint(unexplained), limit: "0", holds: unexplained == 0,
	})
	for _, of := range soakSeries {
		verdicts = append(verdicts, s.plateau(of))
	}
	verdicts = append(verdicts, s.noSlowdown()...)
	t := table.NewWriter()
	t.AppendHeader(table.Row{"what", "figure", "limit", "holds"})
	for _, v := range verdicts {
		holds := "yes"
		switch {
		case v.shown:
			holds = "(too short a soak)"
		case !v.holds:
			holds = "NO"
			errs = append(errs, fault.New(fault.Internal, "%s: %s, expected %s", v.what, v.figure, v.limit))
		}
		t.AppendRow(table.Row{v.what, v.figure, v.limit, holds})
	}
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.Render()
	if last := len(s.samples) - 1; last >= 0 {
		fmt.Fprintln(out, s.samples[last].text())
	}
	fmt.Fprintf(out, "The samples are in %s.\n", s.o.samples)
	return errors.Join(append(errs, s.appendTo(report, t))...)
}

// appendTo adds a section to the Markdown file of the results.
func (s *soak) appendTo(report *Report, t table.Writer) error {
	if s.o.results == "" {
		return nil
	}
	f, err := os.OpenFile(s.o.results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "--results: the file cannot be opened")
	}
	var cores []float64
	for _, p := range s.samples {
		cores = append(cores, p.Cores)
	}
	m := report.Machine
	_, err = fmt.Fprintf(f, "\n## %s, commit %s: soak of %v\n\n%s, %d cores, %.0f GB, %s, %s, %s. Load average %.1f before the run, %.1f after it; "+
		"coordinators and the real agent used %.2f cores (median).\n\n%d simulated agents of %d slots, plans of %s instances, %s wanted; one real agent with %d processes a second "+
		"and a schedule of %d minutely nodes; plans and logs kept for %v.\n\n%s\n",
		report.At.Format("2006-01-02 15:04 MST"), report.Commit, s.o.length, m.CPU, m.Cores, m.MemoryGB, m.Disk, m.OS, m.Go, m.LoadBefore, report.LoadAfter,
		median(cores), s.o.agents, s.o.slots, thousands(fmt.Sprint(s.o.instances)), number(float64(s.o.rate), "/s"), s.o.shells, autoNodes, s.o.keep, t.RenderMarkdown())
	return errors.Join(err, f.Close())
}
