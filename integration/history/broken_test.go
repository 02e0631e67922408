package history_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/integration/history"
	"backfleet/integration/sim"
)

// sound is a small history in which every promise is kept: a backfill of two
// instances that is paused, resumed, stopped and run again.
func sound() *history.History {
	at := time.Duration(0)
	h := &history.History{}
	op := func(o history.Op) {
		o.Call, o.Return, at = at+1, at+2, at+3
		if o.Outcome == "" {
			o.Outcome = history.OK
		}
		if o.Backfill == "" {
			o.Backfill = "b1"
		}
		h.Ops = append(h.Ops, o)
	}
	note := func(n history.Note) {
		at++
		n.At, n.Backfill = at, "b1"
		h.Notes = append(h.Notes, n)
	}
	read := func(index uint64, states string) {
		op(history.Op{Kind: history.ReadStates, Level: history.Linearizable, Server: "c1", Index: index, States: states})
	}
	op(history.Op{Kind: history.Submit, Name: "r1", Key: "k1", Size: 2, Index: 10})
	op(history.Op{Kind: history.Submit, Name: "r1", Key: "k1", Size: 2, Index: 10})
	note(history.Note{Instance: 0, Fence: 12})
	read(12, "rw")
	op(history.Op{Kind: history.Pause, Key: "k2", Index: 13})
	note(history.Note{Instance: 0, Fence: 12, End: true})
	read(15, "sw")
	op(history.Op{Kind: history.ReadTotals, Level: history.Session, Min: 15, Server: "c2", Index: 15, Totals: history.Totals{Generated: 2, Succeeded: 1, Waiting: 1}})
	op(history.Op{Kind: history.Resume, Key: "k3", Index: 16})
	note(history.Note{Instance: 1, Fence: 17})
	op(history.Op{Kind: history.Stop, Key: "k4", Index: 18})
	note(history.Note{Instance: 1, Fence: 17, End: true, Killed: true})
	read(20, "sf")
	op(history.Op{Kind: history.Pause, Key: "k5", Outcome: history.Refused, Code: "conflict"})
	op(history.Op{Kind: history.RerunSome, Key: "k6", Instances: []int{1}, Index: 21})
	note(history.Note{Instance: 1, Fence: 22})
	note(history.Note{Instance: 1, Fence: 22, End: true})
	read(24, "ss")
	op(history.Op{Kind: history.Resume, Key: "k7", Outcome: history.Unknown})
	h.Ops[len(h.Ops)-1].Return = 0
	account := history.Account{Server: "c1", Index: 24, Backfills: []history.Finished{{
		ID: "b1", Name: "r1", States: "ss", Totals: history.Totals{Generated: 2, Succeeded: 2}, Log: []string{"k2", "k3", "k4", "k6"},
		Attempts: [][]history.Attempt{{{Number: 1, Fence: 12, State: "succeeded"}}, {{Number: 1, Fence: 17, State: "stopped"}, {Number: 2, Fence: 22, State: "succeeded"}}},
	}}}
	h.Accounts = []history.Account{account, account}
	h.Accounts[1].Server = "c2"
	h.Accounts[1].Backfills = slices.Clone(account.Backfills)
	return h
}

// find gives the nth operation of a kind.
func find(h *history.History, k history.Kind, nth int) *history.Op {
	for i := range h.Ops {
		if h.Ops[i].Kind == k {
			if nth--; nth < 0 {
				return &h.Ops[i]
			}
		}
	}
	panic("no such operation")
}

// TestBrokenHistoriesAreFound: one promise is broken at a time, and a rule that
// names it is found to be.
func TestBrokenHistoriesAreFound(t *testing.T) {
	if v := history.Check(sound()); len(v.Violations)+len(v.Undecided) > 0 {
		t.Fatalf("nothing is broken: %v", v.Violations)
	}
	of := func(h *history.History) *history.Finished { return &h.Accounts[0].Backfills[0] }
	for _, c := range []struct {
		name, rule, text string
		spoil            func(h *history.History)
	}{
		{"an accepted backfill is gone", "R13.1", "0 times", func(h *history.History) { h.Accounts[0].Backfills = nil }},
		{"one key, two backfills", "R9", "r1", func(h *history.History) { find(h, history.Submit, 1).Backfill = "b2" }},
		{"one request is there twice", "R13.1", "2 times", func(h *history.History) {
			twice := *of(h)
			twice.ID = "b2"
			h.Accounts[0].Backfills = append(h.Accounts[0].Backfills, twice)
		}},
		{"nobody asked for it", "R13.1", "nobody", func(h *history.History) { of(h).Name = "other" }},
		{"a lost write", "R9", "no order", func(h *history.History) {
			h.Ops = slices.Insert(h.Ops, 4, history.Op{Kind: history.ReadFlags, Backfill: "b1", Level: history.Linearizable, Server: "c1", Index: 13, Outcome: history.OK,
				Call: find(h, history.Pause, 0).Return, Return: find(h, history.Pause, 0).Return + 1})
			find(h, history.Pause, 0).Return--
		}},
		{"a write that the log has lost", "R13.1", "lost pause k2", func(h *history.History) { of(h).Log = []string{"k3", "k4", "k6"} }},
		{"a write that took effect twice", "R13.1", "twice", func(h *history.History) { of(h).Log = []string{"k2", "k3", "k4", "k6", "k6"} }},
		{"a refused write took effect", "R13.1", "was refused", func(h *history.History) { of(h).Log = []string{"k2", "k3", "k4", "k5", "k6"} }},
		{"a stale linearizable read, by its index", "R13.1", "linearizable", func(h *history.History) { find(h, history.ReadStates, 1).Index = 12 }},
		{"a stale linearizable read, by what it says", "R9", "no order", func(h *history.History) {
			find(h, history.ReadStates, 3).States = "sr" + ""
			find(h, history.RerunSome, 0).Outcome = history.Refused
			find(h, history.RerunSome, 0).Code = "conflict"
		}},
		{"a session that does not see its own write", "R13.1", "in a session", func(h *history.History) { find(h, history.ReadTotals, 0).Index = 14 }},
		{"a coordinator that goes back", "R13.7", "after it had told", func(h *history.History) {
			old := *find(h, history.ReadStates, 0)
			old.Level, old.Call, old.Return = history.Stale, 1000, 1001
			h.Ops = append(h.Ops, old)
		}},
		{"two leases at once", "R13.2", "same time", func(h *history.History) {
			h.Notes = slices.Insert(h.Notes, 1, history.Note{At: h.Notes[0].At, Backfill: "b1", Fence: 13})
		}},
		{"a fence that does not grow", "R13.2", "same time", func(h *history.History) {
			for i := range h.Notes {
				if h.Notes[i].Fence == 22 {
					h.Notes[i].Fence = 11
				}
			}
		}},
		{"a start after a stop was acknowledged", "R9", "after a stop", func(h *history.History) {
			find(h, history.RerunSome, 0).Outcome, find(h, history.RerunSome, 0).Code = history.Refused, "unavailable"
		}},
		{"a start in a pause", "R9", "after a pause", func(h *history.History) {
			h.Notes = append(h.Notes, history.Note{At: 999, Backfill: "b1", Instance: 1, Fence: 14})
		}},
		{"what has ended runs again by itself", "R9", "r1", func(h *history.History) { find(h, history.ReadStates, 3).States = "wf" }},
		{"a pause that was refused for nothing", "R9", "no order", func(h *history.History) {
			p := find(h, history.Pause, 0)
			p.Outcome, p.Code = history.Refused, "conflict"
		}},
		{"the log turns around what clients saw", "R13.1", "in the log, before", func(h *history.History) { find(h, history.Resume, 0).Index = 12 }},
		{"the log is in another order", "R13.7", "is not where", func(h *history.History) { of(h).Log = []string{"k3", "k2", "k4", "k6"} }},
		{"a receipt that does not add up", "R13.6", "does not add up", func(h *history.History) { find(h, history.ReadTotals, 0).Totals.Waiting = 0 }},
		{"counters that are not the instances'", "R13.6", "its instances", func(h *history.History) { of(h).States = "sf" }},
		{"an end that is recorded otherwise", "R13.4", "recorded as failed", func(h *history.History) { of(h).Attempts[0][0].State = "failed" }},
		{"an attempt that is not recorded", "R13.4", "is not recorded", func(h *history.History) { of(h).Attempts[1] = of(h).Attempts[1][1:]; of(h).Attempts[1][0].Number = 1 }},
		{"an attempt's number is left out", "R13.3", "follows", func(h *history.History) { of(h).Attempts[1][1].Number = 3 }},
		{"lost without a reason", "R13.5", "was lost", func(h *history.History) { h.Quiet = true; of(h).Attempts[1][0].State = "lost" }},
		{"coordinators that differ", "R13.7", "otherwise", func(h *history.History) { of(h).Log = append(of(h).Log, "k7") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sound()
			c.spoil(h)
			v := history.Check(h)
			if !slices.ContainsFunc(v.Violations, func(one history.Violation) bool { return one.Rule == c.rule && strings.Contains(one.Text, c.text) }) {
				t.Errorf("%s was not found by %q: %v", c.rule, c.text, v.Violations)
			}
		})
	}
}

// TestOpenIntervals: an operation without an answer explains both that it had
// its effect, at any time from then on, and that it never had.
func TestOpenIntervals(t *testing.T) {
	for _, c := range []struct {
		call time.Duration
		good bool
	}{{2, true}, {1000, false}} {
		for _, effect := range []bool{true, false} {
			h := sound()
			p := find(h, history.Pause, 0)
			p.Outcome, p.Return, p.Index, p.Call = history.Unknown, 0, 0, c.call
			r := find(h, history.ReadTotals, 0) // of the time between pause and resume
			r.Kind, r.Level, r.Paused = history.ReadFlags, history.Linearizable, effect
			v := history.Check(h)
			if good := len(v.Violations) == 0; good != (c.good || !effect) {
				t.Errorf("a pause of which nothing is known, asked for at %d, and a read that says %t: %v", c.call, effect, v.Violations)
			}
		}
	}
}

// TestRepetitions: what is sent again may be answered with the entry of the
// repetition, its effect being older, or be answered once more much later.
func TestRepetitions(t *testing.T) {
	h := sound()
	r := find(h, history.Resume, 0)
	r.Index, r.Again = 17, true
	for i := range h.Notes {
		if h.Notes[i].Fence == 17 {
			h.Notes[i].Fence = 16 // leased after the effect, before the answer
		}
	}
	for i := range h.Accounts {
		h.Accounts[i].Backfills[0].Attempts[1][0].Fence = 16
	}
	again := *find(h, history.Submit, 0)
	again.Call, again.Return = 1000, 1001
	h.Ops = append(h.Ops, again)
	if v := history.Check(h); len(v.Violations) > 0 {
		t.Error(v.Violations)
	}
}

// TestHistoriesAreKept: what is written is read again, and comes to the same.
func TestHistoriesAreKept(t *testing.T) {
	h := sound()
	h.Seed, h.Quiet, h.Faults, h.Forgotten = 7, true, []string{"1s: c1 is killed"}, []string{"b9"}
	var b bytes.Buffer
	if err := h.Write(&b); err != nil {
		t.Fatal(err)
	}
	if got, err := history.Read(&b); err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("got %+v, %v, want %+v", got, err, h)
	}
}

// TestBrokenFleetsAreFoundByTheirHistories: of fleets that break a promise, what
// clients and processes saw is enough to find it.
func TestBrokenFleetsAreFoundByTheirHistories(t *testing.T) {
	for _, c := range []struct {
		name string
		sim.Options
		rules []string
	}{
		{"a leader that does not verify", sim.Options{Break: sim.Unverified}, []string{"R13.1", "R13.2", "R9"}},
		{"any fence is taken", sim.Options{Break: sim.AnyFence}, []string{"R13.2", "R13.4", "R13.3"}},
		{"keepers forget the ends of leases", sim.Options{Break: sim.NoDeadline}, []string{"R13.2", "R13.4"}},
		{"clocks that drift more than a margin does", sim.Options{Drift: 0.6}, []string{"R13.2"}},
		{"a request is repeated under another key", sim.Options{Break: sim.NewKeys}, []string{"R13.1", "R9"}},
		{"a pause is answered before it is a fact", sim.Options{Break: sim.Hurried}, []string{"R9", "R13.1", "R13.7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 60; seed++ {
				c.Seed, c.Blind = seed, true
				_, v, _ := simulated(t, c.Options)
				for _, one := range v.Violations {
					if slices.Contains(c.rules, one.Rule) {
						t.Logf("seed %d: %s", seed, one)
						return
					}
				}
				if len(v.Violations) > 0 {
					t.Fatal(fmt.Sprint("seed ", seed, ": expected a violation of one of ", c.rules, ", got ", v.Violations))
				}
			}
			t.Error("60 seeds ran without a violation")
		})
	}
}
