package suite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
)

// measureNoop lets simulated agents finish instances as fast as the
// coordinators hand them out. The bound is the same agents over the same
// protocol against a process that answers without deciding or keeping
// anything.
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
	var rates, bares, perEntry, syncs, cpu []float64
	for round := range r.o.rounds {
		bare, err := r.bareExchange(ctx)
		if err != nil {
			return err
		}
		sync, err := fsyncTimes(r.dir, 200)
		if err != nil {
			return err
		}
		before := c.processorSeconds()
		rate, entry, err := r.noopRound(ctx, c, round, dates, nodes)
		if err != nil {
			return err
		}
		r.say("noop: round %d: %.0f /s, %.1f instances an entry; bare %.0f /s", round+1, rate, entry, bare)
		rates, bares, perEntry = append(rates, rate), append(bares, bare), append(perEntry, entry)
		cpu = append(cpu, (c.processorSeconds()-before)*1e6/float64(dates*nodes))
		syncs = append(syncs, 1000/median(sync))
	}
	at := fmt.Sprintf("%d simulated agents, %d instances", r.o.agents, dates*nodes)
	r.add(Figure{
		Row: "noop", What: "leased + finished, " + at, Unit: "/s", Rounds: rates, Target: atLeast(50_000),
		Bound: &Bound{"the same messages, nothing decided or kept", median(bares)},
	})
	r.add(Figure{Row: "noop", What: "processor time of all three coordinators", Unit: "µs/instance", Rounds: cpu})
	r.add(Figure{
		Row: "noop", What: "instances in one log entry", Unit: "instances", Rounds: perEntry,
	})
	r.add(Figure{
		Row: "noop", What: "log entries", Unit: "/s", Value: median(rates) / median(perEntry),
		Bound: &Bound{"fsyncs of one disk, one after another", median(syncs)},
	})
	return nil
}

// noopRound runs one backfill and gives instances a second, and instances for
// each log entry.
func (r *run) noopRound(ctx context.Context, c *cluster, round, dates, nodes int) (rate, perEntry float64, err error) {
	leader, direct, err := c.leads(ctx)
	if err != nil {
		return 0, 0, err
	}
	status, err := direct.Cluster(ctx)
	if err != nil {
		return 0, 0, err
	}
	address := ""
	for _, s := range status.Servers {
		if s.ID == leader.Name {
			address = s.RPCAddress
		}
	}
	t := newTally(dates * nodes)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var submitted time.Time
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := simulate(inner, address, r.o.agents, r.o.slots, t)
		return err
	})
	g.Go(func() error { // the agents are there first: what is measured begins with the answer
		err := fleet.Until(inner, "the simulated agents are ready", func(ctx context.Context) (bool, error) {
			p, err := direct.Agents(ctx, nil)
			return err == nil && len(p.Items) == r.o.agents && allReady(p.Items), err
		})
		if err == nil {
			_, err = direct.Submit(inner, request(round, dates), "")
		}
		submitted = time.Now()
		return err
	})
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	after, err := direct.Cluster(ctx)
	if err != nil {
		return 0, 0, err
	}
	n := float64(dates * nodes)
	return n / t.last.Sub(submitted).Seconds(), n / float64(after.AppliedIndex-status.AppliedIndex), nil
}

// bareExchange gives how many instances a second the protocol carries by
// itself.
func (r *run) bareExchange(ctx context.Context) (float64, error) {
	address, stop, err := startEcho(ctx)
	if err != nil {
		return 0, err
	}
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	n := max(r.o.noops, 100_000)
	t := newTally(n)
	from, err := simulate(ctx, address, r.o.agents, r.o.slots, t)
	if err != nil {
		return 0, err
	}
	return float64(n) / t.last.Sub(from).Seconds(), nil
}

func allReady(agents []v1.Agent) bool {
	return !slices.ContainsFunc(agents, func(a v1.Agent) bool { return a.State != v1.AgentStateReady })
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
