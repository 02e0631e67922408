package suite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/plan"
)

// recovery is a large backfill under way and what is done to its coordinators.
type recovery struct {
	*run
	*cluster
	id     string
	number uint64 // of the plan
	agents *pace
	ledger *ledger
}

// cutEarly are flags with which the log is cut soon, so that a follower need
// not be away for minutes before what it lacks is gone. How it comes back does
// not depend on that.
var cutEarly = []string{"--raft-snapshot-bytes", strconv.Itoa(8 << 20), "--raft-trailing-bytes", strconv.Itoa(2 << 20)}

// What lies in a log's file is there to be read until the whole file goes, so
// more than a file of 64 MB must be written while a follower is away. Nodes with
// much code do that in seconds: so many, changed so often.
const (
	ballastNodes = 32
	ballastCode  = 250_000 // bytes of each
	ballastTimes = 10
)

const (
	steady       = 5 * time.Second // over which rates are taken
	longestAway  = 2 * time.Minute // that a follower may have to be away until the log is cut
	restoreLimit = 10.0            // s
)

// measureRecover lets simulated agents work on a plan of ten million while a
// follower is away for so long that only a snapshot can bring it back, then
// kills all coordinators, and in the end holds what the cluster says against
// what the agents know.
func measureRecover(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 0, 0, cutEarly...)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	v := &recovery{run: r, cluster: c, ledger: newLedger()}
	stop, err := v.begin(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := v.snapshotInstall(ctx); err != nil {
		return err
	}
	if err := v.restartAll(ctx); err != nil {
		return err
	}
	return v.settle(ctx)
}

// begin submits the plan and connects the agents; stop ends them.
func (v *recovery) begin(ctx context.Context) (stop func(), err error) {
	if err := v.apply(ctx, graph(v.o.nodes, 10, func(int) string { return ":" })); err != nil {
		return nil, err
	}
	status, err := v.client.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, s := range status.Servers {
		addresses = append(addresses, s.RPCAddress)
	}
	sub, err := v.client.Submit(ctx, request(0, v.o.recoverDates), "")
	if err != nil {
		return nil, err
	}
	v.id = sub.ID
	if v.number, err = plan.ParseID(sub.ID); err != nil {
		return nil, err
	}
	t := newTally(v.size())
	inner, cancel := context.WithCancel(ctx)
	s := &simulation{
		coordinators: addresses, agents: v.o.agents, slots: v.o.slots, tally: t, ledger: v.ledger,
		takes: func() time.Duration { return rand.N(100 * time.Millisecond) },
	}
	wait := s.start(inner)
	v.agents = watchPace(inner, t)
	return func() {
		cancel()
		wait()
	}, nil
}

// snapshotInstall kills a follower, waits until the log is cut past what it
// has, and brings it back.
func (v *recovery) snapshotInstall(ctx context.Context) error {
	if err := v.goesOn(ctx, steady); err != nil { // warm
		return err
	}
	lead, direct, err := v.leads(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(v.Coordinators, func(p *fleet.Process) bool { return p != lead })
	follower := v.Coordinators[i]
	if err := follower.Kill(); err != nil {
		return err
	}
	v.say("recover: %s, a follower, is killed at %.0f instances", follower.Name, v.agents.acked())
	gone, err := v.cut(ctx, direct)
	if err != nil {
		return err
	}
	if err := v.goesOn(ctx, steady); err != nil {
		return err
	}
	before := v.agents.rate(time.Now().Add(-steady), time.Now())
	installed := installs(follower)
	back := time.Now()
	if err := follower.Start(); err != nil {
		return err
	}
	one, err := v.Client(v.Servers[i])
	if err != nil {
		return err
	}
	err = closely(ctx, follower.Name+" has caught up", func(ctx context.Context) (bool, error) {
		mine, err := one.Cluster(ctx)
		if err != nil || mine.AppliedIndex < gone {
			return false, err
		}
		theirs, err := direct.Cluster(ctx)
		return err == nil && mine.AppliedIndex+5 >= theirs.CommitIndex, err
	})
	if err != nil {
		return err
	}
	caughtUp := time.Now()
	if installs(follower) == installed {
		return fmt.Errorf("%s caught up without a snapshot: nothing was measured", follower.Name)
	}
	if err := v.goesOn(ctx, steady); err != nil {
		return err
	}
	return v.reportInstall(follower, before, back, caughtUp)
}

func (v *recovery) reportInstall(follower *fleet.Process, before float64, back, caughtUp time.Time) error {
	bound, err := v.snapshotBound(follower)
	if err != nil {
		return err
	}
	v.add(Figure{
		Row: "recover", What: "a follower that lacks what the log has no more: start of its process to caught up, work going on", Unit: "s",
		Value: caughtUp.Sub(back).Seconds(), Target: atMost(restoreLimit).onlyIf(v.whole()), Bound: bound,
	})
	from := caughtUp.Add(-max(time.Second, caughtUp.Sub(back)))
	v.add(Figure{
		Row: "recover", What: "work while it catches up", Unit: "/s", Value: v.agents.rate(from, caughtUp),
		Bound: &Bound{"work of the two others before", before},
	})
	v.add(Figure{
		Row: "recover", What: "the slowest second from its start to five after it caught up", Unit: "/s", Value: v.agents.slowest(back, caughtUp.Add(steady)),
		Bound: &Bound{"work of the two others before", before},
	})
	return nil
}

// cut fills the log, waits until what a follower lacks that was killed before
// is gone, and gives the index that it is to catch up to.
func (v *recovery) cut(ctx context.Context, leader *client.Client) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, longestAway)
	defer cancel()
	nodes := make([]v1.Node, ballastNodes)
	var names []string
	for i := range nodes {
		nodes[i] = v1.Node{ID: "ballast_" + strconv.Itoa(i), Owner: "bench", Type: "shell"}
		names = append(names, nodes[i].ID)
	}
	for n := range ballastTimes {
		for i := range nodes {
			nodes[i].Code = ": " + strings.Repeat(strconv.Itoa(n), ballastCode)
		}
		if _, err := leader.ApplyNodes(ctx, v1.NodeApplication{Nodes: nodes}); err != nil {
			return 0, err
		}
	}
	last, err := leader.ApplyNodes(ctx, v1.NodeApplication{Remove: names})
	if err != nil {
		return 0, err
	}
	v.say("recover: %d MB of log written without it, at %.0f instances", ballastNodes*ballastCode*ballastTimes/1_000_000, v.agents.acked())
	err = fleet.Until(ctx, "the leader has cut its log", func(ctx context.Context) (bool, error) {
		s, err := leader.Cluster(ctx)
		return err == nil && s.SnapshotIndex >= last.Index, err
	})
	return last.Index, err
}

// restartAll kills every coordinator in the middle of the work and starts them
// again.
func (v *recovery) restartAll(ctx context.Context) error {
	for _, c := range v.Coordinators {
		if err := c.Signal(syscall.SIGKILL); err != nil {
			return err
		}
	}
	for _, c := range v.Coordinators {
		if err := c.Kill(); err != nil {
			return err
		}
	}
	v.say("recover: all coordinators are killed at %.0f instances", v.agents.acked())
	bound, err := v.snapshotBound(v.Coordinators[0])
	if err != nil {
		return err
	}
	ran := v.ledger.audit(v.number).Attempts // nobody is there to grant more
	start := time.Now()
	for _, c := range v.Coordinators {
		if err := c.Start(); err != nil {
			return err
		}
	}
	err = closely(ctx, "attempts start again", func(context.Context) (bool, error) {
		return v.ledger.audit(v.number).Attempts > ran, nil
	})
	if err != nil {
		return err
	}
	v.add(Figure{
		Row: "recover", What: "kill -9 of all three: start of their processes to the next attempt", Unit: "s", Value: time.Since(start).Seconds(),
		Target: atMost(restoreLimit).onlyIf(v.whole()), Bound: bound,
	})
	return v.goesOn(ctx, steady)
}

// goesOn lets the work go on for a while, and says when it does not.
func (v *recovery) goesOn(ctx context.Context, d time.Duration) error {
	before := v.agents.acked()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
	}
	if v.agents.acked() == before {
		return fmt.Errorf("nothing was acknowledged for %v, after %.0f instances of %s", d, before, v.id)
	}
	return nil
}

func (v *recovery) size() int { return v.o.nodes * v.o.recoverDates }

func (v *recovery) whole() (bool, string) {
	return v.size() >= 10_000_000, "in 10 million"
}

// installs counts the snapshots of others that a coordinator has taken over,
// which only its log tells.
func installs(p *fleet.Process) int {
	text, _ := os.ReadFile(p.Log)
	return strings.Count(string(text), "Installed remote snapshot")
}

// closely polls every 20 ms, for what is timed by its end.
func closely(ctx context.Context, what string, holds func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := holds(ctx)
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w (%w)", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// settle pauses the plan, waits until nothing runs, and compares.
func (v *recovery) settle(ctx context.Context) error {
	_, err := v.client.Operate(ctx, v1.BackfillsOperation{Backfills: []v1.BackfillID{v.id}, Operation: v1.BackfillOperationPause})
	if err != nil {
		return err
	}
	err = fleet.Until(ctx, "nothing of "+v.id+" runs", func(ctx context.Context) (bool, error) {
		b, err := v.client.Backfill(ctx, v.id)
		return err == nil && b.Summary.Counts.Running == 0 && int(b.Summary.Counts.Succeeded) == v.ledger.audit(v.number).Succeeded, err
	})
	if err != nil {
		return fmt.Errorf("%w; the agents know of %+v", err, v.ledger.audit(v.number))
	}
	return v.compare(ctx)
}
