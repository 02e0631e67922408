package suite

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
)

// measureNoop lets lean agents finish instances as fast as the coordinators
// hand them out. The bound is the same agents over the same protocol against a
// process that answers without deciding or keeping anything.
func measureNoop(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 0, 0)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	const nodes = 1000
	dates := max(1, r.o.noops/nodes)
	if err := c.apply(ctx, graph(nodes, 1, func(int) string { return ":" })); err != nil {
		return err
	}
	var rounds []noopRound
	var bares, syncs []float64
	for round := range r.o.rounds {
		bare, err := r.bareExchange(ctx)
		if err != nil {
			return err
		}
		sync, err := fsyncTimes(r.dir, 200)
		if err != nil {
			return err
		}
		one, err := r.noopRound(ctx, c, round, dates, nodes)
		if err != nil {
			return err
		}
		r.say("noop: round %d: %.0f /s, first tenth %.0f /s, last %.0f /s; bare %.0f /s", round+1, one.rate, one.first, one.last, bare)
		rounds, bares, syncs = append(rounds, one), append(bares, bare), append(syncs, 1000/median(sync))
	}
	r.reportNoop(rounds, dates*nodes, median(bares), median(syncs))
	return nil
}

// noopRound is what one backfill came to.
type noopRound struct {
	rate, first, last    float64 // instances a second: of all, of the first and of the last tenth
	coordinators, agents float64 // µs of processor time an instance
	perEntry, entries    float64 // instances in a log entry, entries a second
}

func (r *run) reportNoop(rounds []noopRound, n int, bare, syncs float64) {
	all := func(f func(noopRound) float64) []float64 {
		var out []float64
		for _, one := range rounds {
			out = append(out, f(one))
		}
		return out
	}
	what := fmt.Sprintf("leased + finished, %d agents, %s instances", r.o.agents, thousands(strconv.Itoa(n)))
	messages := &Bound{"the same messages, nothing decided or kept", bare}
	r.add(Figure{
		Row: "noop", What: what, Unit: "/s", Rounds: all(func(o noopRound) float64 { return o.rate }),
		Target: atLeast(50_000).onlyIf(n >= 1_000_000, "over a million"), Bound: messages,
	})
	r.add(Figure{Row: "noop", What: "the first tenth of them", Unit: "/s", Rounds: all(func(o noopRound) float64 { return o.first }), Bound: messages})
	r.add(Figure{Row: "noop", What: "the last tenth of them", Unit: "/s", Rounds: all(func(o noopRound) float64 { return o.last }), Bound: messages})
	r.add(Figure{Row: "noop", What: "processor time of all three coordinators", Unit: "µs/instance", Rounds: all(func(o noopRound) float64 { return o.coordinators })})
	r.add(Figure{Row: "noop", What: "processor time of all agents, on the same cores", Unit: "µs/instance", Rounds: all(func(o noopRound) float64 { return o.agents })})
	r.add(Figure{Row: "noop", What: "instances in one log entry", Unit: "instances", Rounds: all(func(o noopRound) float64 { return o.perEntry })})
	r.add(Figure{
		Row: "noop", What: "log entries", Unit: "/s", Rounds: all(func(o noopRound) float64 { return o.entries }),
		Bound: &Bound{"fsyncs of one disk, one after another", syncs},
	})
}

// noopRound runs one backfill. The agents are there first: what is measured
// begins with the answer to its submission and ends with the acknowledgement of
// the last result.
func (r *run) noopRound(ctx context.Context, c *cluster, round, dates, nodes int) (one noopRound, err error) {
	address, direct, err := c.leaderRPC(ctx)
	if err != nil {
		return one, err
	}
	before, err := direct.Cluster(ctx)
	if err != nil {
		return one, err
	}
	n := dates * nodes
	t := newTally(n)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var submitted, tenth, ninth time.Time
	var cores, own float64
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := exchange(inner, address, r.o.agents, r.o.slots, t)
		return err
	})
	g.Go(func() error {
		if err := waitForAgents(inner, direct, r.o.agents); err != nil {
			return err
		}
		cores, own = c.processorSeconds(), ownProcessorSeconds()
		if _, err := direct.Submit(inner, request(round, dates), ""); err != nil {
			return err
		}
		submitted = time.Now()
		tenth = t.passes(inner, n/10)
		ninth = t.passes(inner, n-n/10)
		return nil
	})
	if err := g.Wait(); err != nil {
		return one, err
	}
	cores, own = c.processorSeconds()-cores, ownProcessorSeconds()-own
	after, err := direct.Cluster(ctx)
	if err != nil {
		return one, err
	}
	took := t.last.Sub(submitted).Seconds()
	entries := float64(after.AppliedIndex - before.AppliedIndex)
	return noopRound{
		rate: float64(n) / took, first: float64(n/10) / tenth.Sub(submitted).Seconds(), last: float64(n/10) / t.last.Sub(ninth).Seconds(),
		coordinators: cores * 1e6 / float64(n), agents: own * 1e6 / float64(n),
		perEntry: float64(n) / entries, entries: entries / took,
	}, nil
}

// passes waits until so many are acknowledged and says when, to 5 ms.
func (t *tally) passes(ctx context.Context, n int) time.Time {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for t.acked.Load() < int64(n) && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return time.Now()
}

// leaderRPC gives where agents find the leader, and a client that asks it alone.
func (c *cluster) leaderRPC(ctx context.Context) (string, *client.Client, error) {
	leader, direct, err := c.leads(ctx)
	if err != nil {
		return "", nil, err
	}
	status, err := direct.Cluster(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, s := range status.Servers {
		if s.ID == leader.Name {
			return s.RPCAddress, direct, nil
		}
	}
	return "", nil, fmt.Errorf("the leader %s is not among the coordinators that it names", leader.Name)
}

// waitForAgents returns when exactly n agents are ready.
func waitForAgents(ctx context.Context, k *client.Client, n int) error {
	return fleet.Until(ctx, strconv.Itoa(n)+" agents are ready", func(ctx context.Context) (bool, error) {
		ready := 0
		p := &v1.ListAgentsParams{Limit: 1000}
		for {
			page, err := k.Agents(ctx, p)
			if err != nil {
				return false, err
			}
			for i := range page.Items {
				if page.Items[i].State == v1.AgentStateReady {
					ready++
				}
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				return ready == n, nil
			}
		}
	})
}

// bareExchange gives how many instances a second the protocol carries by
// itself.
func (r *run) bareExchange(ctx context.Context) (float64, error) {
	e, err := startEcho(ctx)
	if err != nil {
		return 0, err
	}
	defer e.stop()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	n := max(r.o.noops, 100_000)
	t := newTally(n)
	from, err := exchange(ctx, e.address, r.o.agents, r.o.slots, t)
	if err != nil {
		return 0, err
	}
	return float64(n) / t.last.Sub(from).Seconds(), nil
}

// processorSeconds is what the coordinators have used so far. Of all figures
// it suffers least from what else the machine does.
func (c *cluster) processorSeconds() float64 {
	total := 0.0
	for _, p := range c.Coordinators {
		total += processorSeconds(p.Pid())
	}
	return total
}

// ownProcessorSeconds is what this process has used so far.
func ownProcessorSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
