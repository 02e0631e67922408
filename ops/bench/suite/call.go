package suite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"backfleet/api/client"
	"backfleet/ops/demo/fleet"
)

// call is one question to the API.
type call struct {
	what string
	ask  func(*client.Client) error
}

const (
	timesAsked = 20    // each question, of each coordinator
	readWithin = 100.0 // ms; what lists and pages may take
)

// timeCalls asks the leader, and a follower, whose reads ask the leader for its
// index first, and adds a figure for each question.
func (r *run) timeCalls(ctx context.Context, c *cluster, row string, calls []call) error {
	lead, leader, err := c.leads(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.Coordinators, func(p *fleet.Process) bool { return p != lead })
	follower, err := c.Client(c.Servers[i])
	if err != nil {
		return err
	}
	bound, err := roundTrips(1000)
	if err != nil {
		return err
	}
	for _, one := range calls {
		var lead, follow []float64
		for range timesAsked {
			for _, k := range []struct {
				client *client.Client
				took   *[]float64
			}{{leader, &lead}, {follower, &follow}} {
				start := time.Now()
				if err := one.ask(k.client); err != nil {
					return fmt.Errorf("%s: %w", one.what, err)
				}
				*k.took = append(*k.took, ms(time.Since(start)))
			}
		}
		r.add(Figure{
			Row: row, What: "API: " + one.what, Unit: "ms", Rounds: lead, Target: atMost(readWithin),
			Bound: &Bound{"one round trip", median(bound)},
		})
		r.say("%s: API: %s: leader p95 %.1f ms, follower median %.1f ms", row, one.what, percentile(lead, 95), median(follow))
	}
	return nil
}
