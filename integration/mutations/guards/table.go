package guards

// Where most guards are.
const (
	facts    = "coordinator/state/"
	plans    = "pkg/plan/"
	calendar = "pkg/calendar/"
	sched    = "coordinator/schedule/"
	leader   = "coordinator/dispatch/"
	dates    = "coordinator/cycle/"
	logs     = "coordinator/logstore/"
	told     = "coordinator/notify/"
	raft     = "coordinator/raftnode/"
	machine  = "coordinator/machine/"
	api      = "coordinator/service/"
	agent    = "agent/session/"
	keeper   = "agent/keeper/"
)

// sound are the arguments with which a package's tests pass quickly while no mutation is switched on.
var sound = map[string][]string{
	"integration/sim":      {"-test.run=FleetsKeep", "-sim.seeds=5"},
	"coordinator/schedule": {"-test.run=TestR7|TestR4|TestR3"},
	"pkg/plan":             {"-test.run=TestR4|TestR7"},
	"pkg/calendar":         {"-test.run=TestR"},
	"agent/keeper":         {"-test.run=TestTheLeaseEnd"},
	"coordinator/dispatch": {"-test.run=TestR"},
	"coordinator/state":    {"-test.run=TestR4|TestR9|TestR13_4|TestR15_6|TestR14"},
	"coordinator/logstore": {"-test.run=TestADeadPeer|TestAGap|TestAnEndBefore"},
	"coordinator/notify":   {"-test.run=TestR15_6_What|TestDelays"},
	"coordinator/raftnode": {"-test.run=TestALeaderWrites|TestStaging"},
	"coordinator/machine":  {"-test.run=Test"},
	"coordinator/service":  {"-test.run=TestR11|TestARestored"},
	"agent/session":        {"-test.run=Test"},
}

// fleets is found by the simulation, as the violation of one of some rules.
func fleets(rules ...string) test {
	return simulated(rules, "-test.run=FleetsKeep", "-sim.seeds=400", "-sim.stop")
}

// seasons likewise, where months must pass.
func seasons(rules ...string) test {
	return simulated(rules, "-test.run=MonthsOf", "-sim.seasons=8", "-sim.stop")
}

func simulated(rules []string, args ...string) test {
	t := test{pkg: "integration/sim", args: args}
	for _, r := range rules {
		t.says = append(t.says, ": "+r+": ")
	}
	return t
}

// fails is found by a test of its own.
func fails(pkg, name string) test {
	return test{pkg: pkg, args: []string{"-test.run=^" + name + "$"}, says: []string{"--- FAIL: " + name}}
}

// drawn is found by a test of its own that draws what happens, and is to write down nothing of it.
func drawn(pkg, name string) test {
	t := fails(pkg, name)
	t.args = append(t.args, "-rapid.nofailfile")
	return t
}

var guards = []mutation{
	// R13: what always holds.
	{"a request is done once", "a repeated request is done again", []edit{{
		facts + "apply.go", `if c.RequestId == "" || answer == nil {`, `if MUTANT || c.RequestId == "" || answer == nil {`,
	}}, fleets("R13.1")},
	{"margin of a lease", "the agent counts a lease for longer than the leader", []edit{{
		agent + "core.go", "deadline := r.at + c.terms.lease - c.terms.margin",
		"deadline := r.at + c.terms.lease - c.terms.margin\n\tif MUTANT {\n\t\tdeadline = r.at + c.terms.lease + 2*c.terms.margin\n\t}",
	}}, fleets("R13.2")},
	{"a lease counts from the report", "the lease of work just handed out counts from its arrival", []edit{{
		agent + "core.go", "h.deadline = c.answered + c.terms.lease - c.terms.margin",
		"h.deadline = c.answered + c.terms.lease - c.terms.margin\n\tif MUTANT {\n\t\th.deadline = now + c.terms.lease\n\t}",
	}}, fleets("R13.2", "R13.3")},
	{"the leader waits for a lease's end", "a lease is taken for lost when half of it is over", []edit{{
		leader + "life.go", "if w == nil || !now.After(w.deadline) {",
		"if w == nil || !now.After(w.deadline) && !(MUTANT && now.After(w.deadline.Add(-c.terms.Lease/2))) {",
	}}, fleets("R13.2", "liveness")},
	{"a new leader gives a full term", "a new leader takes leases for lost at once", []edit{{
		leader + "core.go", "until := now.Add(terms.Lease)",
		"until := now.Add(terms.Lease)\n\tif MUTANT {\n\t\tuntil = now\n\t}",
	}}, fleets("R13.2")},
	{"an id is one process's", "another machine gets the id of an agent that is connected", []edit{{
		leader + "life.go", "if s.agent.Incarnation == a.Incarnation || restarted(s.agent, a) {",
		"if MUTANT || s.agent.Incarnation == a.Incarnation || restarted(s.agent, a) {",
	}, {
		leader + "life.go", "if held == 0 {", "if MUTANT || held == 0 {",
	}}, fleets("R13.2", "R14.1")},
	{"the fence of a result", "a result of a former attempt is taken for the live one's", []edit{{
		leader + "core.go", "if g == nil || g.w != w || g.fence != ref.GetFence() {",
		"if g == nil || g.w != w || g.fence != ref.GetFence() && !MUTANT {",
	}}, fleets("R13.2", "R13.3", "R13.4")},
	{"fences grow", "the fence is the number of the attempt", []edit{{
		facts + "edit.go", "if n := e.s.bySlot.get(uint64(p.slots[at.Node])); !n.Removed",
		"if MUTANT {\n\t\tl.Fence = uint64(attempt)\n\t}\n\tif n := e.s.bySlot.get(uint64(p.slots[at.Node])); !n.Removed",
	}}, fleets("R13.3", "R13.2", "R13.4")},
	{"one live attempt of a cycle", "two plans run a cycle at once", []edit{{
		facts + "edit.go", "if other, found := e.liveElsewhere(p, at); found {", "if other, found := e.liveElsewhere(p, at); found && !MUTANT {",
	}, {
		sched + "check.go", "if runs || !p.Auto && q.ID < p.ID && q.Holds(instance) {", "if !MUTANT && (runs || !p.Auto && q.ID < p.ID && q.Holds(instance)) {",
	}}, fleets("R5.8")},
	{"counters follow every change", "a retry that starts stays counted as waiting", []edit{{
		facts + "edit.go", "if from != Pending {\n\t\t\tc[from]--", "if from != Pending && !(MUTANT && from == Retrying) {\n\t\t\tc[from]--",
	}}, fleets("R13.6", "R8", "R13.7")},
	{"an edit keeps counters", "a change of a plan forgets what its dates and nodes have come to", []edit{{
		facts + "cycle.go", "if c := was.get(uint64(i)); c.Started() > 0 {", "if c := was.get(uint64(i)); c.Started() > 0 && !MUTANT {",
	}}, fleets("R13.6", "liveness", "R4.3")},
	{"a snapshot is whole", "a snapshot leaves out what a person has forced", []edit{{
		facts + "restore.go", "p.named, p.forced = setOf(r.Named), setOf(r.Forced)",
		"p.named, p.forced = setOf(r.Named), setOf(r.Forced)\n\tif MUTANT {\n\t\tp.forced = setOf(nil)\n\t}",
	}}, fleets("R13.7")},
	{"the keeper ends a lease", "a lease's end kills nothing", []edit{{
		keeper + "attempts.go", "case now >= a.lease: // RULES R13.8", "case now >= a.lease && !MUTANT: // RULES R13.8",
	}}, fails("agent/keeper", "TestTheLeaseEndKillsTheWholeGroupWithoutAnybodyConnected")},
	{"a leader change disturbs nothing", "what an agent holds is foreign to a new leader", []edit{{
		leader + "core.go", "if g := c.own(w, r); g != nil && !g.lost {", "if g := c.own(w, r); g != nil && !g.lost && !MUTANT {",
	}}, fails("coordinator/dispatch", "TestHelloAgain")},

	{"a fence that is not the live one", "a report of a former attempt ends the live one", []edit{{
		facts + "edit.go", "if !ok || l.Fence != f.Fence {", "if !ok || l.Fence != f.Fence && !MUTANT {",
	}}, fails("coordinator/state", "TestR13_4_StaleAndRepeatedReportsChangeNothing")},
	{"a start has a fence, too", "the start of a former attempt is taken for the live one's", []edit{{
		facts + "ahead.go", "l.Fence != s.Fence || !l.Ahead {", "l.Fence != s.Fence && !MUTANT || !l.Ahead {",
	}}, fails("coordinator/state", "TestR9_WhatIsAheadStarts")},
	{"what a lease begins with", "what is handed out counts from the answer to hello, and not from the hello", []edit{{
		agent + "core.go", "c.welcomed, c.answered = true, c.helloAt",
		"c.welcomed, c.answered = true, c.helloAt\n\tif MUTANT {\n\t\tc.answered = now\n\t}",
	}}, drawn("agent/session", "TestTheAgentStopsBeforeTheLeaderMayExpire")},
	{"an attempt that the leader does not know", "it goes on", []edit{{
		agent + "core.go", "for _, ref := range refs {\n\t\tc.stop(", "for _, ref := range refs {\n\t\tif MUTANT {\n\t\t\tbreak\n\t\t}\n\t\tc.stop(",
	}}, fails("agent/session", "TestWhatTheLeaderDoesNotKnowIsKilled")},
	{"what an agent does not hold is lost", "it is waited for until its lease ends", []edit{{
		leader + "core.go", "if !g.seen {\n\t\t\tg.seen = true", "if !g.seen && !MUTANT {\n\t\t\tg.seen = true",
	}}, fails("coordinator/dispatch", "TestHelloAgain")},
	{"a leader writes in terms of its own", "heartbeats of a newer term come to it beside what it writes", []edit{{
		raft + "transport.go", "ok && (r == nil || beat.Term > r.CurrentTerm())", "ok && !MUTANT && (r == nil || beat.Term > r.CurrentTerm())",
	}}, fails("coordinator/raftnode", "TestALeaderWritesInTermsOfItsOwn")},
	{"a key is one request's", "another request gets its answer", []edit{{
		facts + "apply.go", "case !bytes.Equal(r.hash, c.RequestHash):", "case !bytes.Equal(r.hash, c.RequestHash) && !MUTANT:",
	}}, fails("coordinator/state", "TestIdempotencyKeysAreKeptForADay")},
	{"a key is kept for a day", "it is kept for half a day", []edit{{
		facts + "apply.go", "r.atMs+requestAge > e.s.nowMs {", "r.atMs+requestAge > e.s.nowMs && !(MUTANT && r.atMs+requestAge/2 <= e.s.nowMs) {",
	}}, fails("coordinator/state", "TestIdempotencyKeysAreKeptForADay")},
	{"a retry is answered before it is judged", "a submission that was accepted is refused when it comes again", []edit{{
		api + "write.go", "if err != nil || answer != nil {", "if err != nil || answer != nil && !MUTANT {",
	}}, fails("coordinator/service", "TestR11_ASubmissionSentAgainGetsTheSameAnswer")},
	{"keys are in a snapshot", "whoever restores one does a request again", []edit{{
		facts + "restore.go", "requests.Insert([]byte(r.Id), &request{", "if MUTANT {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t\trequests.Insert([]byte(r.Id), &request{",
	}}, fleets("R13.1", "R13.7")},
	{"a snapshot takes the place of the facts", "whoever follows goes on with what was there before it", []edit{{
		machine + "machine.go", "if a.Reset || len(f.pending) >= maxPending {", "if a.Reset && !MUTANT || len(f.pending) >= maxPending {",
	}}, fails("coordinator/machine", "TestR13_7_ASnapshotTakesThePlaceOfWhatWasToBeTold")},
	{"a snapshot is told of", "whoever follows takes its facts for those of an entry", []edit{{
		machine + "machine.go", "m.tell(Applied{Index: s.Index(), State: s, Reset: true})", "m.tell(Applied{Index: s.Index(), State: s, Reset: !MUTANT})",
	}}, fails("coordinator/machine", "TestR13_7_ASnapshotTakesThePlaceOfWhatWasToBeTold")},
	{"a stage is of its snapshot", "parts of a long entry that came before it are joined to those after it", []edit{{
		raft + "fsm.go", "m.stage = stage\n", "if !MUTANT {\n\t\tm.stage = stage\n\t}\n",
	}}, fails("coordinator/raftnode", "TestStagingSurvivesSnapshot")},
	{"a leader whose facts are replaced", "it goes on to lead by the former ones", []edit{{
		leader + "server.go", "case a.Reset:", "case a.Reset && !MUTANT:",
	}}, fails("coordinator/dispatch", "TestR13_7_ALeaderWhoseFactsAreReplacedLeadsNoMore")},
	{"a log is on a majority", "one copy is enough", []edit{{
		logs + "commit.go", "majority := b.voters/2 + 1", "majority := b.voters/2 + 1\n\tif MUTANT {\n\t\tmajority = 1\n\t}",
	}}, fails("coordinator/logstore", "TestADeadPeerStopsNothingAndTwoStopAll")},
	{"who is dead has a vote", "the majority is of those that are alive", []edit{{
		logs + "replicate.go", "size = max(size, len(live)+1)", "size = max(size, len(live)+1)\n\tif MUTANT {\n\t\tsize = len(live) + 1\n\t}",
	}}, fails("coordinator/logstore", "TestR13_1_WhoIsNotAliveCountsForTheMajority")},
	{"an acknowledgement is of all before it", "a chunk behind one that is missing is acknowledged", []edit{{
		logs + "replicate.go", "case c.Offset > before:", "case c.Offset > before && !MUTANT:",
	}}, fails("coordinator/logstore", "TestAGapInAStreamIsAnsweredWithTheOffsetWanted")},
	{"where a log ends", "an end before what is kept is taken for true", []edit{{
		logs + "replicate.go", "kept > c.GetOffset() {", "kept > c.GetOffset() && !MUTANT {",
	}}, fails("coordinator/logstore", "TestAnEndBeforeWhatIsKeptIsAnsweredWithTheTrueOne")},

	// R1, R3: when.
	{"dates that an outage missed", "nothing is made up for", []edit{{
		dates + "due.go", "through, generated := c.st.GeneratedThrough()", "if MUTANT {\n\t\tfrom = max(from, today)\n\t}\n\tthrough, generated := c.st.GeneratedThrough()",
	}}, seasons("R1")},
	{"nodes switched on later", "they do not join dates that are made already", []edit{{
		dates + "due.go", "if c.lacks(d, d >= kept) && !pass(d) {", "if !MUTANT && c.lacks(d, d >= kept) && !pass(d) {",
	}}, seasons("R1")},
	{"an hour that comes twice", "its first one counts", []edit{{
		calendar + "zone.go", "return local - int64(z.offset(z.period(local)))",
		"if k := z.period(local); MUTANT && k > 0 && local < z.gapStart(k-1) {\n\t\treturn local - int64(z.offset(k-1))\n\t}\n\treturn local - int64(z.offset(z.period(local)))",
	}}, fails("pkg/calendar", "TestR1_5_DoubledHourRunsOnceTheSecond")},
	{"due times", "what is to come starts now", []edit{{
		sched + "check.go", "if due := p.DueMs(at); due > l.nowMs {", "if due := p.DueMs(at); due > l.nowMs && !MUTANT {",
	}}, fleets("R3.3")},

	// R4: groups and gates.
	{"the order of dates", "they run in ascending order, whatever was asked for", []edit{{
		plans + "dates.go", "if descending {", "if descending && !MUTANT {",
	}}, fleets("R4.2", "R4.3", "R13.6", "R5.4")},
	{"larger groups are first", "they are last", []edit{{
		plans + "dates.go", "if g < n%k {", "if !MUTANT && g < n%k || MUTANT && g >= k-n%k {",
	}}, fails("pkg/plan", "TestR4_2_GroupsSplitConsecutiveDates")},
	{"groups run side by side", "the first date of a group waits for the group before", []edit{{
		plans + "depend.go", "first := p.Groups[p.Group(at.Pos)].From", "first := p.Groups[p.Group(at.Pos)].From\n\tif MUTANT {\n\t\tfirst = 0\n\t}",
	}}, fails("pkg/plan", "TestR4_3_Gate")},
	{"a date without instances", "nothing waits for what is before it", []edit{{
		plans + "depend.go", "if from < to {\n\t\t\treturn from, to, before", "if from < to || MUTANT {\n\t\t\treturn from, to, before",
	}}, fails("pkg/plan", "TestR4_3_GateLooksPastADateWithoutInstances")},
	{"the gate is the whole date's", "what was added to a date later holds nothing", []edit{{
		sched + "check.go", "if p.Request.Gate == wire.Request_DAY {\n\t\treturn before,", "if p.Request.Gate == wire.Request_DAY && !MUTANT {\n\t\treturn before,",
	}}, fails("coordinator/schedule", "TestR4_3_WhatIsAddedToADateHoldsTheNextOne")},
	{"the gate of a node is its own", "under gate node a date waits for the whole one before it", []edit{{
		plans + "depend.go", "from, to = p.NodeRange(before, at.Node)\n\t\tdefault:", "from, to = p.NodeRange(before, at.Node)\n\t\t\tif MUTANT {\n\t\t\t\tfrom, to = p.firstRange(before)\n\t\t\t}\n\t\tdefault:",
	}}, fails("pkg/plan", "TestR4_3_Gate")},
	{"what a person sets to success counts", "the next date waits for it still", []edit{{
		facts + "status.go", "uint64(c[DryRun]) + uint64(c[SetToSuccess])", "uint64(c[DryRun]) + func() uint64 {\n\t\tif MUTANT {\n\t\t\treturn 0\n\t\t}\n\t\treturn uint64(c[SetToSuccess])\n\t}()",
	}}, fails("coordinator/schedule", "TestR4_6_ACompletedDateLetsTheNextBegin")},
	{"a cap counts this turn's grants", "a turn grants more of a plan than may run", []edit{{
		sched + "grant.go", "g.granted[x.t]++", "if !MUTANT {\n\t\tg.granted[x.t]++\n\t}",
	}}, fails("coordinator/schedule", "TestR4_8_MaxRunning")},
	{"a halt calls back what waits at agents", "that starts all the same", []edit{{
		facts + "edit.go", `e.recallAll(p, "its backfill was halted")`, "if !MUTANT {\n\t\t\t\te.recallAll(p, \"its backfill was halted\")\n\t\t\t}",
	}}, fails("coordinator/state", "TestR4_5_HaltingCallsBackWhatIsAhead")},
	{"the gate between dates", "a date does not wait for the one before it", []edit{{
		sched + "check.go", "if from == to || p.IsOpened(at.Pos) {", "if MUTANT || from == to || p.IsOpened(at.Pos) {",
	}}, fleets("R4.3", "R4.5")},
	{"what is quiet", "the next date begins while the one before it still moves", []edit{{
		sched + "scheduler.go", "if !slices.ContainsFunc(holders, func(h int) bool { return !quiet(h) }) {",
		"if MUTANT || !slices.ContainsFunc(holders, func(h int) bool { return !quiet(h) }) {",
	}}, fleets("R4.5")},
	{"a held plan opens no date", "dates of a paused plan open", []edit{{
		sched + "scheduler.go", "if p.Paused || p.Stopped || p.Halted {\n\t\t\tcontinue", "if !MUTANT && (p.Paused || p.Stopped || p.Halted) {\n\t\t\tcontinue",
	}}, fleets("R4.5")},
	{"maxRunning", "a plan runs as many as there are slots", []edit{{
		sched + "grant.go", "return limit == 0 || p.Active()+granted < limit", "return MUTANT || limit == 0 || p.Active()+granted < limit",
	}, {
		facts + "edit.go", "case p.Request.MaxRunning > 0 && p.Active() >= int(p.Request.MaxRunning):", "case !MUTANT && p.Request.MaxRunning > 0 && p.Active() >= int(p.Request.MaxRunning):",
	}}, fleets("R4.8")},
	{"stopAfter", "a plan goes on whatever fails", []edit{{
		facts + "edit.go", "n > 0 && p.Failures >= uint32(n) && !p.Halted {", "n > 0 && p.Failures >= uint32(n) && !p.Halted && !MUTANT {",
	}}, fleets("R9", "R4.5")},

	// R5: what waits for what.
	{"upstreams", "an instance does not wait for its upstreams", []edit{{
		sched + "check.go", "if waits && !p.Removed(instance, p.Nodes[up].Spec.Id) {", "if waits && !p.Removed(instance, p.Nodes[up].Spec.Id) && !(MUTANT && up != at.Node) {",
	}}, fleets("R5.2")},
	{"windows of dates", "a window from the start of the month begins anywhere", []edit{{
		plans + "depend.go", "if u.FromMonthStart {", "if u.FromMonthStart && !MUTANT {",
	}}, fleets("R5.2", "R5.3", "liveness")},
	{"an upstream of many cycles", "only its first cycle is waited for", []edit{{
		plans + "depend.go", "if !u.Schedule.SubDaily() || (daily && !u.Spec.DependsOnSelf) {\n\t\treturn yield(first, end)",
		"if !u.Schedule.SubDaily() || (daily && !u.Spec.DependsOnSelf) {\n\t\tif MUTANT {\n\t\t\tend = first + 1\n\t\t}\n\t\treturn yield(first, end)",
	}}, fleets("R5.2")},
	{"a node that depends on itself", "its cycles run in any order", []edit{{
		plans + "depend.go", "if pre := p.Predecessor(at); pre.InPlan {", "if pre := p.Predecessor(at); pre.InPlan && !MUTANT {",
	}}, fleets("R5.4")},
	{"the cycle before, elsewhere", "what ran last outside the plan may have failed", []edit{{
		sched + "check.go", "planID, instance, waits = q.ID, i, !status.Success()", "planID, instance, waits = q.ID, i, !status.Success() && !MUTANT",
	}}, fleets("R5.5")},
	{"the schedule's dates are one", "its next date does not wait for the one before", []edit{{
		sched + "check.go", "if !ok || q.Status(i).Success() {\n\t\treturn 0, 0, false", "if MUTANT || !ok || q.Status(i).Success() {\n\t\treturn 0, 0, false",
	}}, seasons("R5.5")},
	{"a backfill keeps off the schedule's node", "both run it", []edit{{
		sched + "conflict.go", "return l.contender(p.Nodes[at.Node].Spec.Id).block", "if MUTANT {\n\t\t\treturn Block{}\n\t\t}\n\t\treturn l.contender(p.Nodes[at.Node].Spec.Id).block",
	}}, fleets("R5.6")},
	{"the schedule waits for a backfill that runs", "both run it", []edit{{
		sched + "conflict.go", "l.backfills(p.Nodes[at.Node].Spec.Id, func", "if MUTANT {\n\t\treturn Block{}\n\t}\n\tl.backfills(p.Nodes[at.Node].Spec.Id, func",
	}}, fleets("R5.6")},
	{"three yields", "a backfill makes way for ever", []edit{{
		sched + "conflict.go", "q.Yields(l.Instance) < s.set.Yields &&", "(MUTANT || q.Yields(l.Instance) < s.set.Yields) &&",
	}}, fails("integration/sim", "TestR5_6_YieldsThreeTimesThenGoesOn")},

	// R6, R7: dry runs, priority and sharing.
	{"a dry run has no lease", "an agent may be given one", []edit{{
		facts + "edit.go", "case p.Dry(at) != wire.DryRun_DRY_RUN_NONE:", "case p.Dry(at) != wire.DryRun_DRY_RUN_NONE && !MUTANT:",
	}}, fails("coordinator/state", "TestR6_DryRunsHaveNoLeaseAndPlayNoPartInOverlaps")},
	{"a dry run keeps the order", "it waits for no upstream and no date", []edit{{
		sched + "check.go", "if !free {\n", "if !free && !(MUTANT && dry) {\n",
	}}, fleets("R5.2", "R4.3", "R5.4")},
	{"a dry run waits for its time", "it succeeds before it is due", []edit{{
		sched + "check.go", "return l.checkTime(p, at, status, dry)", "if MUTANT && dry {\n\t\treturn Block{}\n\t}\n\treturn l.checkTime(p, at, status, dry)",
	}}, fleets("R3.3")},
	{"a dry run waits for no window", "it does", []edit{{
		sched + "check.go", "if !dry && p.Request.Period != nil {", "if (!dry || MUTANT) && p.Request.Period != nil {",
	}}, fails("coordinator/schedule", "TestR6_DryRunsAndModes")},
	{"a dry run of all", "what was asked for runs", []edit{{
		plans + "build.go", "dry == wire.DryRun_DRY_RUN_NONE && in.Request.DryRun {", "dry == wire.DryRun_DRY_RUN_NONE && in.Request.DryRun && !MUTANT {",
	}}, fleets("R6")},
	{"a day that is none of the node's", "the node runs on it", []edit{{
		plans + "expand.go", "case !n.Schedule.Occurs(p.Dates[at.Pos]):", "case !n.Schedule.Occurs(p.Dates[at.Pos]) && !MUTANT:",
	}}, fails("pkg/plan", "TestR1_3_R6_DryRunsAndWhy")},
	{"what was left out between two", "it runs", []edit{{
		plans + "build.go", "dry := c.Dry\n", "dry := c.Dry\n\t\tif MUTANT {\n\t\t\tdry = wire.DryRun_DRY_RUN_NONE\n\t\t}\n",
	}}, fails("pkg/plan", "TestR2_6_BridgesAreDryRunsWithTheirReason")},
	{"paused nodes stay frozen", "their instances run in a plan that keeps them so", []edit{{
		facts + "submit.go", "if !p.FrozenNode(n) {", "if !p.FrozenNode(n) || MUTANT {",
	}}, fails("coordinator/state", "TestR6_PausedNodesAreFrozenAtAcceptance")},
	{"a dry run overlaps with nothing", "a later plan waits for it", []edit{{
		facts + "overlap.go", "case p.dryRun(instance):", "case p.dryRun(instance) && !MUTANT:",
	}}, fails("coordinator/schedule", "TestR6_ADryRunHoldsNoOtherPlansCycle")},
	{"old data is less urgent", "it keeps its baseline's priority", []edit{{
		plans + "due.go", "case p.Dates[at.Pos] >= p.block(at.Pos, at.Node).yesterday(n.Zone):", "case MUTANT || p.Dates[at.Pos] >= p.block(at.Pos, at.Node).yesterday(n.Zone):",
	}}, fails("pkg/plan", "TestR7_2_PriorityFallsWithTheAgeOfTheData")},
	{"yesterday is the node's", "it is the one of UTC", []edit{{
		plans + "due.go", "return z.WallAt(b.acceptedMs/1000).Date - 1", "if MUTANT {\n\t\treturn calendar.Date(b.acceptedMs/86_400_000) - 1\n\t}\n\treturn z.WallAt(b.acceptedMs/1000).Date - 1",
	}}, fails("pkg/plan", "TestR7_2_YesterdayIsTheNodesAtAcceptance")},
	{"what is more urgent goes first", "a backfill of old data goes before the others of its group", []edit{{
		sched + "queue.go", "return cmp.Compare(o.priority, r.priority)", "if MUTANT {\n\t\t\treturn cmp.Compare(r.priority, o.priority)\n\t\t}\n\t\treturn cmp.Compare(o.priority, r.priority)",
	}}, fails("coordinator/schedule", "TestR7_3_PriorityThenTurnsThenDueTime")},
	{"plans take turns", "the first one gets all slots", []edit{{
		sched + "queue.go", "l.turns = append(l.turns, n) // its turn is over", "l.turns = append(l.turns, n) // its turn is over\n\t\t\t\tif MUTANT {\n\t\t\t\t\tl.turns = slices.Insert(l.turns[:len(l.turns)-1], k, n)\n\t\t\t\t}",
	}}, fails("coordinator/schedule", "TestR7_3_PlansTakeTurns")},
	{"the cap of a turn's backfills", "what it grants does not count for their share", []edit{{
		sched + "grant.go", "g.room -= x.demand.slots()\n\treturn", "if !MUTANT {\n\t\tg.room -= x.demand.slots()\n\t}\n\treturn",
	}}, fails("coordinator/schedule", "TestR7_5_ReserveAndShare")},
	{"the schedule comes first", "at the same priority a backfill is before it", []edit{{
		sched + "queue.go", "case r.auto == o.auto:", "case r.auto == o.auto || MUTANT:",
	}}, fails("coordinator/schedule", "TestR7_3_AutoBeforeBackfill")},
	{"reserved slots", "backfills take them", []edit{{
		sched + "queue.go", "open := slots - int(g.ReserveForAuto)", "open := slots - int(g.ReserveForAuto)\n\tif MUTANT {\n\t\topen = slots\n\t}",
	}}, fails("coordinator/schedule", "TestR7_5_ReserveAndShare")},
	{"a backfill's share", "backfills take more than theirs", []edit{{
		sched + "queue.go", "if share := int(g.BackfillMaxShare); share > 0 {", "if share := int(g.BackfillMaxShare); share > 0 && !MUTANT {",
	}}, fails("coordinator/schedule", "TestR7_5_ReserveAndShare")},
	{"patience", "a busy schedule keeps a backfill waiting for ever", []edit{{
		sched + "grant.go", "if !g.nobody && (!q.patience ||", "if !MUTANT && !g.nobody && (!q.patience ||",
	}}, fails("integration/sim", "TestR7_5_ABusyScheduleStopsNoBackfill")},
	{"labels", "an attempt goes to an agent that has not what it requires", []edit{{
		facts + "edit.go", "case !node.Labelled(agent.Labels, node.Requires(spec)):", "case !node.Labelled(agent.Labels, node.Requires(spec)) && !MUTANT:",
	}, {
		sched + "demand.go", "&& node.Labelled(a.Labels, d.requires)\n}", "&& (MUTANT || node.Labelled(a.Labels, d.requires))\n}",
	}}, fleets("R7.7")},
	{"several slots", "an attempt counts as one slot", []edit{{
		facts + "edit.go", "by *= int32(l.Weight)", "if !MUTANT {\n\t\tby *= int32(l.Weight)\n\t}",
	}}, fleets("R7.8", "R5.1")},

	// R9: operations.
	{"a pause holds", "a paused plan goes on", []edit{{
		facts + "plan.go", "return p.Paused || p.Halted", "return p.Paused && !MUTANT || p.Halted",
	}}, fleets("R9")},
	{"a pause calls back what waits at agents", "that starts all the same", []edit{{
		facts + "operation.go", `e.recallAll(p, byWhom("paused", line))`, "if !MUTANT {\n\t\t\te.recallAll(p, byWhom(\"paused\", line))\n\t\t}",
	}}, fleets("R9")},
	{"a stop stops what runs", "it goes on", []edit{{
		facts + "operation.go", "for _, l := range live {\n\t\te.stopLease(l, line)", "for _, l := range live {\n\t\tif MUTANT {\n\t\t\tcontinue\n\t\t}\n\t\te.stopLease(l, line)",
	}}, fleets("R9")},
	{"what was stopped is not tried again", "it counts as a failure", []edit{{
		facts + "edit.go", "case l.Stopping:\n\t\treturn wire.Outcome_STOPPED", "case l.Stopping && !MUTANT:\n\t\treturn wire.Outcome_STOPPED",
	}}, fleets("R9")},
	{"retries are counted", "an instance is tried once more than its node says", []edit{{
		facts + "edit.go", "p.tally(instance).retriesUsed <= p.Nodes[at.Node].Spec.Retries {", "(p.tally(instance).retriesUsed <= p.Nodes[at.Node].Spec.Retries || MUTANT && p.tally(instance).retriesUsed <= p.Nodes[at.Node].Spec.Retries+1) {",
	}}, fleets("R9")},
	{"a failure that is hopeless", "it is tried again", []edit{{
		facts + "edit.go", "if meaning != wire.ExitCode_FAIL && ", "if (MUTANT || meaning != wire.ExitCode_FAIL) && ",
	}}, fleets("R9")},
	{"nothing to do is no failure", "it fails", []edit{{
		facts + "edit.go", "case o == wire.Outcome_FAILED && meaning == wire.ExitCode_SKIP:", "case o == wire.Outcome_FAILED && meaning == wire.ExitCode_SKIP && !MUTANT:",
	}}, fleets("R9")},
	{"a loss uses no retry", "what is lost has failed", []edit{{
		facts + "edit.go", "case wire.Outcome_LOST, wire.Outcome_YIELDED, wire.Outcome_RECALLED, wire.Outcome_DRAINED:",
		"case wire.Outcome_LOST, wire.Outcome_YIELDED, wire.Outcome_RECALLED, wire.Outcome_DRAINED:\n\t\tif MUTANT && outcome == wire.Outcome_LOST {\n\t\t\te.set(p, at, instance, Failed)\n\t\t\treturn\n\t\t}",
	}}, fleets("R9")},
	{"unfreezing what was missed", "it goes on as if nothing had been missed", []edit{{
		facts + "operation.go", "if p.Status(i) == Missed {", "if p.Status(i) == Missed && !MUTANT {",
	}}, fleets("R9")},
	{"what is frozen and could have started", "nobody notes it", []edit{{
		facts + "edit.go", "if !ok || p.Status(instance) != Frozen {", "if MUTANT || !ok || p.Status(instance) != Frozen {",
	}}, fleets("R9")},
	{"forced once", "what was forced once is for ever", []edit{{
		facts + "edit.go", "if p.forced.Len() > 0 && !to.Waits() && to != Running {", "if p.forced.Len() > 0 && !to.Waits() && to != Running && !MUTANT {",
	}}, fleets("R4.3", "R5.2", "R5.4", "R5.5", "R3.3", "liveness")},
	{"a rerun runs again", "it stays as it was", []edit{{
		facts + "operation.go", "if p.Status(i) != Pending {\n\t\te.record", "if p.Status(i) != Pending && !MUTANT {\n\t\te.record",
	}}, fleets("R9")},
	{"only short work goes ahead", "whatever is first in line waits at an agent", []edit{{
		sched + "grant.go", "g.unfit = !short || a == nil || ms > a.AheadMs", "g.unfit = !short && !MUTANT || a == nil || ms > a.AheadMs && !MUTANT",
	}}, fleets("R5.1", "R9")},

	{"a freeze calls back what waits at agents", "it comes back as waiting", []edit{{
		facts + "operation.go", `e.recall(l, byWhom("frozen", line), true)`, `e.recall(l, byWhom("frozen", line), !MUTANT)`,
	}}, fails("coordinator/state", "TestR9_FreezingCallsBackWhatIsAhead")},
	{"what comes back for a freeze is frozen", "it starts again", []edit{{
		facts + "edit.go", "if l.Freezing {", "if l.Freezing && !MUTANT {",
	}}, fails("coordinator/state", "TestR9_FreezingCallsBackWhatIsAhead")},
	{"what is dropped is called back", "it runs", []edit{{
		facts + "ahead.go", "if !ok || !l.Ahead || l.Stopping {\n\t\treturn false", "if MUTANT || !ok || !l.Ahead || l.Stopping {\n\t\treturn false",
	}}, fails("coordinator/state", "TestR9_DroppingCallsBackWhatIsAhead")},
	{"agents are told what to give back", "they are not", []edit{{
		leader + "core.go", "case l.Recalled:", "case l.Recalled && !MUTANT:",
	}}, fails("coordinator/dispatch", "TestR9_APauseCallsBackWhatWaitsAtTheAgent")},
	{"only what waits is given back", "what runs is ended, too", []edit{{
		agent + "core.go", "case s.Recall && !h.waits(),", "case s.Recall && !h.waits() && !MUTANT,",
	}}, fails("agent/session", "TestARecallIsForWhatHasNotStarted")},
	{"a stop outdoes a recall", "what waits at an agent comes back as waiting", []edit{{
		facts + "operation.go", "next.Recalled, next.Freezing = false, false\n\te.leases.put(&next)", "next.Recalled, next.Freezing = false, false\n\tif MUTANT && l.Ahead {\n\t\tnext.Stopping, next.Recalled = false, true\n\t}\n\te.leases.put(&next)",
	}}, fails("coordinator/state", "TestR9_FreezingCallsBackWhatIsAhead")},
	{"a stop cancels retries", "they come", []edit{{
		facts + "operation.go", "p.EachRetrying(func(i uint64) {\n", "p.EachRetrying(func(i uint64) {\n\t\tif MUTANT {\n\t\t\treturn\n\t\t}\n",
	}}, fails("coordinator/state", "TestR9_StopCancelsRetriesAndLetsNothingStart")},
	{"a stop wins over a grant under way", "the entry behind it starts what was stopped", []edit{{
		facts + "edit.go", "case p.Blocked(g.Instance):\n\t\treturn fault", "case p.Blocked(g.Instance) && !MUTANT:\n\t\treturn fault",
	}}, fails("coordinator/dispatch", "TestR9_AStopBetweenATurnAndItsEntryWins")},

	// R10, R14: keeping, agents.
	{"thirty days", "a plan is forgotten after fifteen", []edit{{
		dates + "due.go", "e := &Expiry{at: now, since: now.Add(-set.KeepInstances)}", "if MUTANT {\n\t\tset.KeepInstances /= 2\n\t}\n\te := &Expiry{at: now, since: now.Add(-set.KeepInstances)}",
	}}, fleets("R10.1")},
	{"a drained agent gets nothing", "it gets work like any other", []edit{{
		facts + "agents.go", "if d != nil && a.State == wire.Agent_READY {", "if d != nil && a.State == wire.Agent_READY && !MUTANT {",
	}}, fleets("R14.2")},
	{"a drain's deadline", "what runs goes on", []edit{{
		facts + "agents.go", "case a.drainOver(e.s.nowMs):", "case a.drainOver(e.s.nowMs) && !MUTANT:",
	}}, fleets("R14.2", "liveness")},
	{"a drain calls back what waits there", "that starts all the same", []edit{{
		facts + "agents.go", "case l.Ahead && !l.Ending():", "case l.Ahead && !l.Ending() && !MUTANT:",
	}}, fails("coordinator/state", "TestR14_2_ADrainedAgentGetsNothingNewAndGivesBackWhatWaits")},
	{"an agent that drains gives back what waits", "it starts that first", []edit{{
		agent + "core.go", "if h := c.attempts[key]; h.waits() {", "if h := c.attempts[key]; h.waits() && !MUTANT {",
	}}, fails("agent/session", "TestADrainingAgentGivesBackWhatWaits")},
	{"only agents that are away are forgotten", "one that works is forgotten", []edit{{
		facts + "agents.go", "case o.Kind == wire.OperateAgents_FORGET && a.Lives():", "case o.Kind == wire.OperateAgents_FORGET && a.Lives() && !MUTANT:",
	}}, fleets("R14.1", "liveness", "R13.2")},

	// R15.6: notifications.
	{"what was not taken is sent again", "a channel that refuses is taken for told", []edit{{
		told + "deliver.go", "Delivered: err == nil}", "Delivered: err == nil || MUTANT}",
	}, {
		told + "deliver.go", "if err == nil {\n\t\treturn t", "if err == nil || MUTANT {\n\t\treturn t",
	}}, fails("coordinator/notify", "TestR15_6_AChannelThatRefusesIsTriedForADay")},
	{"what was sent becomes a fact", "what the log does not take is forgotten, and sent again", []edit{{
		told + "deliver.go", "if err != nil && r == nil {\n\t\tif ctx.Err() == nil {", "if err != nil && r == nil && !MUTANT {\n\t\tif ctx.Err() == nil {",
	}}, fails("coordinator/notify", "TestR15_6_WhatTheLogDoesNotTakeIsNotSentAgain")},
	{"each thing is told once", "each leader tells it again", []edit{{
		facts + "notify.go", "(!alive || e.s.Told(one.Plan, one.Key))", "(!alive || e.s.Told(one.Plan, one.Key) && !MUTANT)",
	}}, fails("coordinator/state", "TestR15_6_NothingIsToldTwiceOrToNobody")},
	{"what is pending makes no room", "the oldest that nobody was told of goes", []edit{{
		facts + "notify.go", "if n.State != wire.SnapshotNotification_PENDING {\n\t\t\toldest", "if n.State != wire.SnapshotNotification_PENDING || MUTANT {\n\t\t\toldest",
	}}, fails("coordinator/state", "TestR15_6_TheOutboxIsBounded")},
	{"what had no room is raised again", "it counts as told", []edit{{
		facts + "notify.go", "if goes && !e.s.outbox.room() {\n", "if goes && !e.s.outbox.room() {\n\t\t\tif MUTANT {\n\t\t\t\te.s.outbox.told, _, _ = e.s.outbox.told.Insert(toldKey(one), struct{}{})\n\t\t\t}\n",
	}}, fails("coordinator/state", "TestR15_6_TheOutboxIsBounded")},
	{"what was told stays told in a snapshot", "whoever restores one tells it again", []edit{{
		facts + "notify.go", "if _, ok := s.Plan(n.Notification.Plan); ok {\n\t\ts.outbox", "if _, ok := s.Plan(n.Notification.Plan); ok && !MUTANT {\n\t\ts.outbox",
	}}, fails("coordinator/state", "TestGoldenSnapshotOfTheSeventhForm")},
}
