package suite

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"backfleet/ops/demo/fleet"
)

// measureFailover kills the leader again and again while short attempts run
// all the time, and looks in what the attempts wrote for the first one that
// was granted afterwards. It then checks that nothing was lost or run twice.
func measureFailover(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 1, 4)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	const nodes = 20
	dates := 10 + 10*r.o.kills
	file := filepath.Join(c.dir, "stamps")
	code := fmt.Sprintf("date \"+b $BACKFLEET_INSTANCE $BACKFLEET_FENCE %%s%%N\" >>%s\nexec sleep 0.04\n", file)
	if err := c.apply(ctx, graph(nodes, 1, func(int) string { return code })); err != nil {
		return err
	}
	sub, err := c.client.Submit(ctx, request(0, dates), "")
	if err != nil {
		return err
	}
	var kills []time.Time
	for i := range r.o.kills {
		at, err := c.killLeader(ctx, file)
		if err != nil {
			return err
		}
		kills = append(kills, at)
		r.say("failover: %d of %d leaders killed", i+1, r.o.kills)
	}
	if _, err := c.finished(ctx, sub.ID); err != nil {
		return err
	}
	stamps, err := readStamps(file)
	if err != nil {
		return err
	}
	slices.SortFunc(stamps, func(a, b stamp) int { return a.at.Compare(b.at) })
	if err := r.onceEach(ctx, c, stamps, dates*nodes); err != nil {
		return err
	}
	return r.reportFailover(ctx, c, stamps, kills)
}

func (r *run) reportFailover(ctx context.Context, c *cluster, stamps []stamp, kills []time.Time) error {
	var grants, starts []float64
	for i, kill := range kills {
		end := kill.Add(time.Minute)
		if i+1 < len(kills) {
			end = kills[i+1]
		}
		granted, started, err := c.firstAfter(ctx, stamps, kill, end)
		if err != nil {
			return err
		}
		grants = append(grants, granted.Sub(kill).Seconds())
		starts = append(starts, started.Sub(kill).Seconds())
	}
	commit, err := r.commitBound()
	if err != nil {
		return err
	}
	// Followers miss a leader for 250 ms at least; that is a setting, not measured.
	bound := &Bound{"the least silence that followers take for a death, and one commit", 0.25 + commit/1000}
	for _, p := range []struct{ percent, target float64 }{{50, 1}, {100, 2}} {
		r.add(Figure{
			Row: "failover", What: fmt.Sprintf("kill -9 of the leader to the next lease, p%.0f of %d", p.percent, len(kills)), Unit: "s",
			Value: percentile(grants, p.percent), Rounds: grants, Target: atMost(p.target), Bound: bound,
		})
	}
	r.add(Figure{Row: "failover", What: "the same to the first process that it started, longest", Unit: "s", Value: percentile(starts, 100), Rounds: starts, Bound: bound})
	return nil
}

// killLeader kills who leads at a random moment, and returns when processes
// start again and all three are there.
func (c *cluster) killLeader(ctx context.Context, file string) (time.Time, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return time.Time{}, err
	}
	time.Sleep(500*time.Millisecond + rand.N(time.Second)) // renewals are at any point of their round
	at := time.Now()
	if err := leader.Kill(); err != nil {
		return at, err
	}
	if _, err := c.Leader(ctx); err != nil {
		return at, err
	}
	before := sizeOf(file)
	err = fleet.Until(ctx, "processes start again", func(context.Context) (bool, error) { return sizeOf(file) > before, nil })
	if err != nil {
		return at, err
	}
	time.Sleep(500 * time.Millisecond) // the others go on as two for a while
	if err := leader.Start(); err != nil {
		return at, err
	}
	one, err := c.Client(c.Servers[slices.Index(c.Coordinators, leader)])
	if err != nil {
		return at, err
	}
	return at, fleet.Until(ctx, leader.Name+" has caught up", func(ctx context.Context) (bool, error) {
		s, err := one.Cluster(ctx)
		return err == nil && s.Leader != "" && s.AppliedIndex+100 > s.CommitIndex, err
	})
}

func sizeOf(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// firstAfter finds the first process whose lease was granted after a kill, and
// when it was granted and began.
func (c *cluster) firstAfter(ctx context.Context, stamps []stamp, kill, end time.Time) (granted, started time.Time, err error) {
	from, _ := slices.BinarySearchFunc(stamps, kill, func(s stamp, t time.Time) int { return s.at.Compare(t) })
	for _, s := range stamps[from:] {
		if s.at.After(end) {
			break
		}
		d, err := c.client.Instance(ctx, s.instance)
		if err != nil {
			return granted, started, err
		}
		for _, a := range d.Attempts {
			if a.Fence == s.fence && a.GrantedAt != nil && a.GrantedAt.After(kill) {
				return *a.GrantedAt, s.at, nil
			}
		}
	}
	return granted, started, fmt.Errorf("no attempt began between one kill of a leader and the next")
}

// onceEach checks that every instance ran, and that no attempt ran twice. A
// process that stamped and whose attempt was then lost has another attempt;
// how many there were is shown.
func (r *run) onceEach(ctx context.Context, c *cluster, stamps []stamp, n int) error {
	byInstance := map[string][]stamp{}
	for _, s := range stamps {
		byInstance[s.instance] = append(byInstance[s.instance], s)
	}
	if len(byInstance) != n {
		return fmt.Errorf("%d instances ran, expected %d", len(byInstance), n)
	}
	extra := 0
	for id, list := range byInstance {
		if len(list) == 1 {
			continue
		}
		slices.SortFunc(list, func(a, b stamp) int { return cmp.Compare(a.fence, b.fence) })
		if len(slices.CompactFunc(slices.Clone(list), func(a, b stamp) bool { return a.fence == b.fence })) != len(list) {
			return fmt.Errorf("an attempt of %s ran twice", id)
		}
		extra += len(list) - 1
	}
	r.add(Figure{Row: "failover", What: fmt.Sprintf("attempts run again, of %d instances, each succeeded once", n), Unit: "attempts", Value: float64(extra)})
	return nil
}
