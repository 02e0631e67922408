package history_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/integration/history"
	"backfleet/integration/sim"
)

var (
	seeds = flag.Uint64("history.seeds", 20, "how many simulated fleets to judge")
	first = flag.Uint64("history.first", 1, "the first of them")
	file  = flag.String("history.file", "", "a kept history to judge again")
	keep  = flag.String("history.keep", filepath.Join(os.TempDir(), "backfleet-histories"), "folder for histories that fail")
)

// simulated lives through a seed and judges its history.
func simulated(t *testing.T, o sim.Options) (*history.History, *history.Verdict, sim.Report) {
	var h *history.History
	var r sim.Report
	o.Record = func(recorded *history.History) { h = recorded }
	synctest.Test(t, func(*testing.T) {
		o.Wait = time.Sleep
		r = sim.Run(o)
	})
	return h, history.Check(h), r
}

// tell reports what a history shows to be broken, and keeps it.
func tell(t *testing.T, name string, h *history.History, v *history.Verdict) {
	t.Helper()
	if len(v.Violations)+len(v.Undecided) == 0 {
		return
	}
	dir := filepath.Join(*keep, name)
	if err := v.Keep(h, dir); err != nil {
		t.Error(err)
	}
	for _, one := range v.Violations[:min(5, len(v.Violations))] {
		t.Errorf("%s: %s", name, one)
	}
	for _, one := range v.Undecided {
		t.Errorf("%s: undecided: %s", name, one)
	}
	t.Errorf("kept in %s", dir)
}

// TestR13_SimulatedHistories: what clients and processes of simulated fleets
// saw can be explained by the rules.
func TestR13_SimulatedHistories(t *testing.T) {
	var mu sync.Mutex
	var sum history.Verdict
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range next {
				h, v, r := simulated(t, sim.Options{Seed: seed})
				if r.Err != nil {
					t.Errorf("seed %d: %v", seed, r.Err)
				}
				tell(t, fmt.Sprintf("seed-%d", seed), h, v)
				mu.Lock()
				sum.Add(v)
				mu.Unlock()
			}
		})
	}
	for seed := *first; seed < *first+*seeds; seed++ {
		next <- seed
	}
	close(next)
	wg.Wait()
	t.Logf("%d fleets: %s", *seeds, &sum)
}

// TestKeptHistory judges a history that was kept.
func TestKeptHistory(t *testing.T) {
	if *file == "" {
		return // there is none to judge
	}
	f, err := os.Open(*file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := history.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	tell(t, "kept", h, history.Check(h))
}
