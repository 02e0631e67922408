package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/calendar"
)

// measureScale drives one cluster to full size, over the API alone: nodes and
// edges in one call, a plan of many cycles, a hundred large backfills at once,
// operations on a whole one, and at last many agents that have nothing to do.
func measureScale(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 0, 0)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	for _, part := range []func(context.Context, *run, *cluster) error{
		scaleNodes, scaleCycles, scalePlans, scaleAgents,
	} {
		if one := part(ctx, r, c); one != nil { // what follows can still be measured
			r.say("scale: %v", one)
			err = errors.Join(err, one)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// durable are the target and the bound of what must be on a majority's disks
// before it is answered.
func (r *run) durable(ctx context.Context, f Figure, whole bool, scale string) error {
	bound, err := r.commitBound()
	if err != nil {
		return err
	}
	f.Row, f.Unit = "scale", "ms"
	f.Target = atMost(1000).onlyIf(whole, scale)
	f.Bound = &Bound{"one fsync and one round trip", bound}
	r.add(f)
	return ctx.Err()
}

// minutely is a node with a cycle for every minute of the day.
const minutely = "bench_minutely"

// scaleCycles has one node, 1,440 cycles and thousands of dates.
func scaleCycles(ctx context.Context, r *run, c *cluster) error {
	node := v1.Node{
		ID: minutely, Owner: "bench", Type: "shell", Code: ":",
		Schedule: &v1.Schedule{Kind: v1.ScheduleKindMinutely, EveryMinutes: 1, From: "00:00", To: "23:59"},
	}
	if _, err := c.client.ApplyNodes(ctx, v1.NodeApplication{Nodes: []v1.Node{node}}); err != nil {
		return err
	}
	_, direct, err := c.leads(ctx)
	if err != nil {
		return err
	}
	const cycles = 24 * 60
	dates := r.o.cycleDates
	first := calendar.DateOf(2010, 1, 1)
	middle, last := (first + calendar.Date(dates/2)).String(), (first + calendar.Date(dates-1)).String()
	start := time.Now()
	sub, err := direct.Submit(ctx, v1.BackfillRequest{
		Mode: v1.ModeCurrent, Root: minutely, Groups: 10, Dates: []v1.DateRangeText{first.String() + ".." + last},
	}, "")
	took := ms(time.Since(start))
	if err != nil {
		return err
	}
	if n := int64(dates * cycles); sub.Totals.Instances != n {
		return fmt.Errorf("backfill %s has %d instances, expected %d", sub.ID, sub.Totals.Instances, n)
	}
	whole, scale := dates >= 3650, "of 3,650 dates"
	what := fmt.Sprintf("one node × %s cycles × %s dates: request to durable answer", thousands(strconv.Itoa(cycles)), thousands(strconv.Itoa(dates)))
	if err := r.durable(ctx, Figure{What: what, Value: took}, whole, scale); err != nil {
		return err
	}
	if err := r.timeCalls(ctx, c, "scale", cycleReads(ctx, sub.ID, middle, last, dates*cycles)); err != nil {
		return err
	}
	what = thousands(strconv.Itoa(dates*cycles)) + " cycles of one node: "
	return r.stopAndRerun(ctx, direct, what, sub.ID, []v1.InstanceID{sub.ID + ".0"}, 1, whole, scale)
}

// cycleReads are the questions to a plan of one node and n instances.
func cycleReads(ctx context.Context, id, middle, last string, n int) []call {
	page := func(p v1.ListInstancesParams, want int) func(*client.Client) error {
		return func(k *client.Client) error {
			got, err := k.Instances(ctx, id, &p)
			if err == nil && len(got.Items) != want {
				err = fmt.Errorf("%d instances in a page, expected %d", len(got.Items), want)
			}
			return err
		}
	}
	// A cursor names the last instance before it, whoever made it.
	after := func(i int) string { return "instance:" + strconv.Itoa(i) }
	reason := func(i int) func(*client.Client) error {
		return func(k *client.Client) error {
			d, err := k.Instance(ctx, id+"."+strconv.Itoa(i))
			if err == nil && d.Reason == nil {
				err = fmt.Errorf("instance %s says no reason why it waits", d.Instance.ID)
			}
			return err
		}
	}
	return []call{
		{"the plan of cycles, its summary", func(k *client.Client) error { _, err := k.Backfill(ctx, id); return err }},
		{"its dates", func(k *client.Client) error { _, err := k.Dates(ctx, id, nil); return err }},
		{"its instances, first page of 1,000", page(v1.ListInstancesParams{Limit: 1000}, 1000)},
		{"a page of 1,000 in the middle", page(v1.ListInstancesParams{Limit: 1000, Cursor: after(n / 2)}, 1000)},
		{"its last page", page(v1.ListInstancesParams{Limit: 1000, Cursor: after(n - 501)}, 500)},
		{"the running ones (there are none)", page(v1.ListInstancesParams{State: []v1.State{v1.StateRunning}}, 0)},
		{"the ones that wait, of the middle date", page(v1.ListInstancesParams{State: []v1.State{v1.StateNotRunning}, DateFrom: middle, DateTo: middle}, 100)},
		{"its node's, of the last date on", page(v1.ListInstancesParams{Node: []string{minutely}, DateFrom: last, Limit: 1000}, 1000)},
		{"why its first instance waits", reason(0)},
		{"why one in the middle waits", reason(n / 2)},
		{"why its last instance waits", reason(n - 1)},
	}
}

// stopAndRerun stops a plan as a whole, runs instances of it again by name
// with all that depend on them, and lets the rest go on.
func (r *run) stopAndRerun(ctx context.Context, k *client.Client, what, id string, roots []v1.InstanceID, each int, whole bool, scale string) error {
	n := thousands(strconv.Itoa(len(roots) * each))
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"stop", func() error {
			_, err := k.Operate(ctx, v1.BackfillsOperation{Backfills: []v1.BackfillID{id}, Operation: v1.BackfillOperationStop})
			return err
		}},
		{"rerun of " + n + " of them by name, with descendants", func() error {
			o, err := k.Rerun(ctx, id, v1.RerunRequest{Instances: roots, Descendants: &v1.Descendants{All: true}})
			if err == nil && int(o.Instances) != len(roots)*each {
				err = fmt.Errorf("%d instances of %s run again, expected %d", o.Instances, id, len(roots)*each)
			}
			return err
		}},
		{"resume", func() error {
			_, err := k.Operate(ctx, v1.BackfillsOperation{Backfills: []v1.BackfillID{id}, Operation: v1.BackfillOperationResume})
			return err
		}},
	} {
		start := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if err := r.durable(ctx, Figure{What: what + step.what, Value: ms(time.Since(start))}, whole, scale); err != nil {
			return err
		}
	}
	return nil
}

// rerunDates is how many dates of a large backfill run again as a whole. Of a
// hundred, and a graph this dense, the service refuses the descendants as too
// many for a call.
const rerunDates = 1

// plansWithin bounds how long the many backfills are submitted: with fewer the
// figures say so.
const plansWithin = time.Minute

// scalePlans has many large backfills known at once.
func scalePlans(ctx context.Context, r *run, c *cluster) error {
	lead, direct, err := c.leads(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.Coordinators, func(p *fleet.Process) bool { return p != lead })
	follower := c.Coordinators[i]
	size := r.o.nodes * r.o.dates
	whole, scale := size >= 10_000_000, "of 10 million"
	beforeLead, beforeFollow := residentMB(lead.Pid()), residentMB(follower.Pid())
	var took []float64
	var ids []string
	began := time.Now()
	for n := range r.o.plans {
		if time.Since(began) > plansWithin {
			r.say("scale: only %d of %d backfills were accepted within %v", n, r.o.plans, plansWithin)
			break
		}
		start := time.Now()
		sub, err := direct.Submit(ctx, request(-n, r.o.dates), "") // days of its own, back to the 18th century
		if err != nil {
			return err
		}
		took, ids = append(took, ms(time.Since(start))), append(ids, sub.ID)
	}
	of := fmt.Sprintf("%d backfills of %s instances", len(ids), thousands(strconv.Itoa(size)))
	if err := r.durable(ctx, Figure{What: of + ": request to durable answer, p99", Value: percentile(took, 99), Rounds: took}, whole, scale); err != nil {
		return err
	}
	for _, m := range []struct {
		what   string
		now    float64
		before float64
	}{{"leader", residentMB(lead.Pid()), beforeLead}, {"follower", residentMB(follower.Pid()), beforeFollow}} {
		r.add(Figure{Row: "scale", What: m.what + ": resident memory with " + of, Unit: "MB", Value: m.now})
		r.add(Figure{
			Row: "scale", What: m.what + ": an instance of them", Unit: "B", Value: (m.now - m.before) * (1 << 20) / float64(len(ids)*size),
			Target: atMost(4).onlyIf(whole, scale), Bound: &Bound{"a byte of status each", 1},
		})
	}
	newest, oldest := ids[len(ids)-1], ids[0]
	err = r.timeCalls(ctx, c, "scale", []call{
		{"all backfills in one page", func(k *client.Client) error {
			p, err := k.Backfills(ctx, &v1.ListBackfillsParams{Limit: 1000})
			if err == nil && len(p.Items) < len(ids) {
				err = fmt.Errorf("%d backfills are listed, expected %d and more", len(p.Items), len(ids))
			}
			return err
		}},
		{"a page of ten backfills in the middle", func(k *client.Client) error {
			_, err := k.Backfills(ctx, &v1.ListBackfillsParams{Limit: 10, Cursor: "backfill:" + ids[len(ids)/2][1:]})
			return err
		}},
		{"the backfills that run (there are none)", func(k *client.Client) error {
			_, err := k.Backfills(ctx, &v1.ListBackfillsParams{State: []v1.State{v1.StateRunning}})
			return err
		}},
		{"summary of the newest of them", func(k *client.Client) error { _, err := k.Backfill(ctx, newest); return err }},
		{"summary of the oldest of them", func(k *client.Client) error { _, err := k.Backfill(ctx, oldest); return err }},
		{"last page of the oldest's instances", func(k *client.Client) error {
			_, err := k.Instances(ctx, oldest, &v1.ListInstancesParams{Limit: 1000, Cursor: "instance:" + strconv.Itoa(size-1001)})
			return err
		}},
		{"one node's instances in it", func(k *client.Client) error {
			_, err := k.Instances(ctx, oldest, &v1.ListInstancesParams{Node: []string{nodeID(r.o.nodes - 1)}, Limit: 1000})
			return err
		}},
		{"why its last instance waits", func(k *client.Client) error {
			_, err := k.Instance(ctx, oldest+"."+strconv.Itoa(size-1))
			return err
		}},
	})
	if err != nil {
		return err
	}
	var roots []v1.InstanceID
	for i := range min(rerunDates, r.o.dates) {
		roots = append(roots, oldest+"."+strconv.Itoa(i*r.o.nodes))
	}
	return r.stopAndRerun(ctx, direct, "one of them: ", oldest, roots, r.o.nodes, whole, scale)
}
