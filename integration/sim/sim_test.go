package sim

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/coordinator/dispatch"
)

var (
	nSeeds    = flag.Uint64("sim.seeds", seedsByDefault, "how many seeds to run")
	first     = flag.Uint64("sim.first", 1, "the first of them")
	nSeasons  = flag.Uint64("sim.seasons", seasonsByDefault, "how many seasons of months to run")
	days      = flag.Int("sim.days", daysByDefault, "how long a season is")
	oneSeason = flag.Uint64("sim.season", 0, "run this season only, and tell everything that happens")
	stop      = flag.Bool("sim.stop", false, "look no further than the first violation")
	oneSeed   = flag.Uint64("sim.seed", 0, "run this seed only, and tell everything that happens")
)

// bubble runs one seed in a bubble of virtual time.
func bubble(t *testing.T, o Options) (r Report) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		o.Wait = time.Sleep
		r = Run(o)
	})
	return r
}

// TestR13_FleetsKeepTheirPromises runs whole fleets through faults. A seed that
// fails is named; -sim.seed runs it again, event by event.
func TestR13_FleetsKeepTheirPromises(t *testing.T) {
	if *oneSeed != 0 {
		r := bubble(t, Options{Seed: *oneSeed, Note: func(line string) { fmt.Println(line) }})
		t.Logf("%+v", r)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		return
	}
	var sum Report
	for seed := *first; seed < *first+*nSeeds; seed++ {
		r := bubble(t, Options{Seed: seed})
		if r.Err != nil {
			t.Errorf("%v\nreproduce with: go test ./integration/sim -run FleetsKeepTheirPromises -sim.seed %d", r.Err, seed)
			if *stop {
				return
			}
		}
		sum.add(r)
	}
	t.Logf("%d fleets: %s", *nSeeds, sum)
	n := int(*nSeeds)
	if sum.Plans < n || sum.Processes < 20*n || sum.Leaders < 2*n || sum.Lost < n {
		t.Error("too little happens in these fleets to test anything")
	}
	if n < 100 {
		return
	}
	if sum.Ahead < n || 20*sum.Recalled < n || 20*sum.GivenBack < n {
		t.Error("too little is granted ahead in these fleets to test anything")
	}
	if 2*sum.Drains < n || 10*sum.Drained < n || 2*sum.Goodbyes < n || 2*sum.Reboots < n {
		t.Error("too little becomes of agents in these fleets to test anything")
	}
	if sum.Heavy < n || sum.Labelled < n || 5*sum.Skipped < n {
		t.Error("too little is heavy, labelled or skipped in these fleets to test anything")
	}
	if sum.Autos < n/2 || sum.Operations < 4*n || 20*sum.Yields < n || 5*sum.Edits < n || sum.Holds < n/2 || sum.Expired < n/4 {
		t.Error("too little of the schedule or of operations happens in these fleets to test anything")
	}
}

// TestASeedIsARun: the same seed gives the same run, event by event.
func TestASeedIsARun(t *testing.T) {
	traces := map[string]bool{}
	for seed := range uint64(runsTwice) {
		o := Options{Seed: seed}
		switch seed % 6 {
		case 1:
			o.Days = 20
		case 2:
			o.Crowd = true
		}
		a, b := bubble(t, o), bubble(t, o)
		if a.Trace != b.Trace || a.Events != b.Events {
			t.Errorf("seed %d: %+v, then %+v", seed, a, b)
		}
		traces[a.Trace] = true
	}
	if len(traces) != runsTwice {
		t.Errorf("%d seeds gave %d different runs", runsTwice, len(traces))
	}
}

// TestBrokenFleetsAreFound: each promise broken on purpose is found out.
func TestBrokenFleetsAreFound(t *testing.T) {
	noMargin := dispatch.Terms{Lease: 15 * time.Second, Renew: 3 * time.Second, Margin: time.Millisecond}
	for _, c := range []struct {
		name string
		Options
		rules []string // one of them is broken first
	}{
		{"clocks that drift more than a margin does", Options{Drift: 0.3}, []string{"R13.2"}},
		{"a leader that does not verify", Options{Break: Unverified}, []string{"R13.2"}},
		{"any fence is taken", Options{Break: AnyFence}, []string{"R13.2", "R13.3", "R13.4"}},
		{"keepers forget the ends of leases", Options{Break: NoDeadline}, []string{"R13.2"}},
		{"grants that nobody decided", Options{Break: Eager}, []string{"R4.3", "R5.2", "R3.3", "R5.4", "R5.5", "R5.8"}},
		{"a restarted coordinator misses an entry", Options{Break: LostEntry}, []string{"R13.7", "R13.1"}},
		{"a request is repeated under another key", Options{Break: NewKeys}, []string{"R13.1"}},
		{"a dispatcher misses what others write", Options{Break: Deaf}, []string{"liveness", "R9"}},
		{"a pause is answered before it is a fact", Options{Break: Hurried}, []string{"R9"}},
		{"backfills that the schedule keeps waiting", Options{Break: Rude}, []string{"R5.6"}},
		{"a schedule that leaves out dates", Options{Break: Skipping, Days: 30}, []string{"R1"}},
		{"plans are forgotten too early", Options{Break: Hasty, Days: 30}, []string{"R10.1"}},
		{"plans are never forgotten", Options{Break: Keeping, Days: 45}, []string{"R10.1"}},
		{"keepers that do not give work back", Options{Break: Holding}, []string{"R9", "liveness"}},
		{"keepers that start what they have given back", Options{Break: Reviving}, []string{"R9"}},
		{"a leader that grants everything ahead", Options{Break: Greedy}, []string{"R5.1", "R4.8", "R9"}},
		{"a leader that takes another machine for the one it knows", Options{Break: Trusting}, []string{"R13.2"}},
		{"no margin and clocks that drift", Options{Terms: noMargin}, []string{"R13.2"}},
	}[:breaksTried] {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 300; seed++ {
				o := c.Options
				o.Seed = seed
				if r := bubble(t, o); r.Err != nil {
					t.Logf("found: %v", r.Err)
					if !slices.ContainsFunc(c.rules, func(rule string) bool { return strings.Contains(r.Err.Error(), ": "+rule+": ") }) {
						t.Errorf("expected a violation of one of %v", c.rules)
					}
					return
				}
			}
			t.Error("300 seeds ran without a violation")
		})
	}
}

// TestR10_1_MonthsOfAFleet lives through months, with the schedule of several
// time zones whose clocks change, backfills beside it, outages of days and plans
// that are forgotten after thirty days. Receipts add up every hour.
func TestR10_1_MonthsOfAFleet(t *testing.T) {
	if *oneSeason != 0 {
		r := bubble(t, Options{Seed: *oneSeason, Days: *days, Note: func(line string) { fmt.Println(line) }})
		t.Log(r)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		return
	}
	var sum Report
	for seed := *first; seed < *first+*nSeasons; seed++ {
		r := bubble(t, Options{Seed: seed, Days: *days})
		if r.Err != nil {
			t.Errorf("%v\nreproduce with: go test ./integration/sim -run MonthsOfAFleet -sim.season %d", r.Err, seed)
			if *stop {
				return
			}
		}
		sum.add(r)
	}
	t.Logf("%d seasons: %s", *nSeasons, sum)
	n := int(*nSeasons)
	if *days < 100 {
		return
	}
	if sum.Outages < n || sum.Autos < n**days/2 || sum.Plans < 20*n || sum.Expired < n**days/4 || sum.Yields < n || sum.Receipts < 24*n**days {
		t.Error("too little happens in these seasons to test anything")
	}
}
