package suite

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
)

// measureAccept submits the large backfill over the API to three coordinators
// and looks at it. Every round takes days of its own, so that none overlaps
// another; all stay, so the lists are of several large backfills.
func measureAccept(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 0, 0)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	began := time.Now()
	if err := c.apply(ctx, graph(r.o.nodes, 10, func(int) string { return ":" })); err != nil {
		return err
	}
	r.say("accept: %d nodes are known after %.1f s", r.o.nodes, time.Since(began).Seconds())
	leader, direct, err := c.leads(ctx)
	if err != nil {
		return err
	}
	before := residentMB(leader.Pid())
	var took []float64
	var ids []string
	var bound []float64
	for round := range r.o.rounds {
		b, err := r.commitBound()
		if err != nil {
			return err
		}
		start := time.Now()
		sub, err := direct.Submit(ctx, request(round, r.o.dates), "")
		if err != nil {
			return err
		}
		took = append(took, ms(time.Since(start)))
		bound, ids = append(bound, b), append(ids, sub.ID)
		if sub.Totals.Instances != int64(r.o.nodes*r.o.dates) {
			return fmt.Errorf("backfill %s has %d instances, expected %d", sub.ID, sub.Totals.Instances, r.o.nodes*r.o.dates)
		}
		r.say("accept: round %d: %.1f ms", round+1, took[round])
	}
	size := thousands(strconv.Itoa(r.o.nodes * r.o.dates))
	whole := r.o.nodes*r.o.dates >= 10_000_000
	r.add(Figure{
		Row: "accept", What: "request to durable answer, " + size + " instances", Unit: "ms", Rounds: took,
		Target: atMost(1000).onlyIf(whole, "of 10 million"), Bound: &Bound{"one fsync and one round trip", median(bound)},
	})
	after := residentMB(leader.Pid())
	r.add(Figure{
		Row: "accept", What: fmt.Sprintf("leader's resident memory with %d such backfills, less what it had before", r.o.rounds), Unit: "MB",
		Value: after - before,
	})
	return r.look(ctx, c, ids[0])
}

// look measures the API beside the large backfills.
func (r *run) look(ctx context.Context, c *cluster, id string) error {
	last := id + "." + strconv.Itoa(r.o.nodes*r.o.dates-1)
	return r.timeCalls(ctx, c, "accept", []call{
		{"page of backfills", func(k *client.Client) error { _, err := k.Backfills(ctx, nil); return err }},
		{"a backfill", func(k *client.Client) error { _, err := k.Backfill(ctx, id); return err }},
		{"its first 100 instances", func(k *client.Client) error {
			_, err := k.Instances(ctx, id, &v1.ListInstancesParams{Limit: 100})
			return err
		}},
		{"the running ones (there are none)", func(k *client.Client) error {
			_, err := k.Instances(ctx, id, &v1.ListInstancesParams{State: []v1.State{v1.StateRunning}})
			return err
		}},
		{"its last instance, with the reason", func(k *client.Client) error { _, err := k.Instance(ctx, last); return err }},
		{"its dates", func(k *client.Client) error { _, err := k.Dates(ctx, id, nil); return err }},
		{"its receipt by node", func(k *client.Client) error { _, err := k.Receipt(ctx, id, nil); return err }},
	})
}
