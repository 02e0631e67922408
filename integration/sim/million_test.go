package sim

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"
)

var (
	wanted  = flag.Int("sim.runs", runsByDefault, "how many instance runs a mixture of fleets, crowds and seasons is to come to")
	workers = flag.Int("sim.workers", runtime.GOMAXPROCS(0), "how many of them live at the same time")
	ledger  = flag.String("sim.ledger", "", "keep the sums in this file, and go on from where it ends if it is of the same commit")
	commit  = flag.String("sim.commit", "", "what is simulated, for the ledger")
)

// mixed is the world of a seed: one in 200 is a season, a third of the others are
// fleets as in TestR13, the rest are crowds, in which most instances run.
func mixed(seed uint64) Options {
	o := Options{Seed: seed}
	switch {
	case seed%200 == 100:
		o.Days = 165
	case seed%3 != 0:
		o.Crowd = true
	}
	return o
}

// Ledger is what a mixture came to, of all seeds of a range.
type Ledger struct {
	Commit       string         `json:"commit"`
	Go           string         `json:"go"`
	From         uint64         `json:"fromSeed"`
	To           uint64         `json:"toSeed"`
	Fleets       int            `json:"fleets"`
	Crowds       int            `json:"crowds"`
	Seasons      int            `json:"seasons"`
	Runs         int            `json:"instanceRuns"`
	UnderFaults  int            `json:"instanceRunsBeforeFaultsEnded"`
	VirtualHours int            `json:"virtualHours"`
	Seconds      float64        `json:"seconds"`
	PerSecond    float64        `json:"instanceRunsPerSecond"`
	Workers      int            `json:"workers"`
	Faults       map[string]int `json:"faults"`
	Sums         Report         `json:"sums"`
	Violations   []string       `json:"violations"`
}

// read takes up a ledger of the same commit, or begins one.
func read(file, commit string, first uint64) (*Ledger, error) {
	fresh := &Ledger{Commit: commit, Go: runtime.Version(), From: first, To: first - 1, Violations: []string{}}
	b, err := os.ReadFile(file)
	switch {
	case file == "" || errors.Is(err, fs.ErrNotExist):
		return fresh, nil
	case err != nil:
		return nil, err
	}
	l := &Ledger{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("%s is no ledger: %w", file, err)
	}
	if l.Commit != commit {
		return fresh, nil
	}
	return l, nil
}

// write replaces the file at once, so that a run that is killed can go on.
func (l *Ledger) write(file string) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// enter adds the run of the next seed.
func (l *Ledger) enter(o Options, r Report, since time.Duration) {
	l.To = o.Seed
	switch {
	case o.Days > 0:
		l.Seasons++
	case o.Crowd:
		l.Crowds++
	default:
		l.Fleets++
	}
	if r.Err != nil {
		l.Violations = append(l.Violations, r.Err.Error())
	}
	l.Sums.add(r)
	l.Runs, l.UnderFaults = l.Sums.Processes, l.Sums.Processes-l.Sums.Calm
	l.VirtualHours, l.Faults = int(l.Sums.Took.Hours()), l.Sums.Faults.byName()
	l.Seconds += since.Seconds()
	l.PerSecond = float64(l.Runs) / l.Seconds
}

// TestR13_ByTheMillion lives through seeds until so many instances have run.
// Each seed's run is its own, whoever runs it; sums are of a range without gaps.
func TestR13_ByTheMillion(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // each world is small
	l, err := read(*ledger, *commit, *first)
	if err != nil {
		t.Fatal(err)
	}
	l.Workers = *workers
	type lived struct {
		o Options
		r Report
	}
	var next, done atomic.Uint64
	next.Store(l.To)
	out := make(chan lived, *workers)
	for range *workers {
		go func() {
			for done.Load() == 0 {
				o := mixed(next.Add(1))
				out <- lived{o, bubble(t, o)}
			}
			out <- lived{}
		}()
	}
	early, left := map[uint64]lived{}, *workers
	at, told := time.Now(), time.Now()
	for left > 0 {
		x := <-out
		if x.o.Seed == 0 {
			left--
			continue
		}
		early[x.o.Seed] = x
		for x, ok := early[l.To+1]; ok; x, ok = early[l.To+1] {
			delete(early, l.To+1)
			now := time.Now()
			l.enter(x.o, x.r, now.Sub(at))
			at = now
			if x.r.Err != nil {
				t.Errorf("%v\nreproduce with: go test ./integration/sim -run ByTheMillion -sim.first %d -sim.runs 1 -sim.workers 1", x.r.Err, x.o.Seed)
			}
		}
		if l.Runs >= *wanted || *stop && len(l.Violations) > 0 {
			done.Store(1)
		}
		if time.Since(told) > 10*time.Second || done.Load() > 0 {
			told = time.Now()
			fmt.Printf("%d of %d instance runs, seeds %d to %d, %.0f a second, %d violations\n", l.Runs, *wanted, l.From, l.To, l.PerSecond, len(l.Violations))
			if err := l.write(*ledger); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("seeds %d to %d, %d fleets, %d crowds, %d seasons: %s", l.From, l.To, l.Fleets, l.Crowds, l.Seasons, l.Sums)
	if len(l.Violations) > 0 {
		t.Errorf("%d violations", len(l.Violations))
	}
}
