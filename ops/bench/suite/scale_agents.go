package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"backfleet/ops/demo/fleet"
)

// scaleAgents connects many agents that have nothing to do, beside everything
// that the cluster knows by now: their slots are of a resource group in which
// nothing is ready. The bound is the same agents at a process that only
// acknowledges.
func scaleAgents(ctx context.Context, r *run, c *cluster) error {
	lead, direct, err := c.leads(ctx)
	if err != nil {
		return err
	}
	status, err := direct.Cluster(ctx)
	if err != nil {
		return err
	}
	var addresses []string
	for _, s := range status.Servers {
		addresses = append(addresses, s.RPCAddress)
	}
	alone, err := r.watch(ctx, lead.Pid())
	if err != nil {
		return err
	}
	before := residentMB(lead.Pid())
	stop := r.idlers(ctx, addresses)
	err = waitForAgents(ctx, direct, r.o.idlers)
	var with float64
	if err == nil {
		with, err = r.watch(ctx, lead.Pid())
	}
	now := residentMB(lead.Pid())
	stop()
	if err != nil {
		return err
	}
	bare, err := r.bareIdlers(ctx)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d idle agents, leader: ", r.o.idlers)
	r.add(Figure{
		Row: "scale", What: what + fmt.Sprintf("share of a core over %.0f s", r.o.idle.Seconds()), Unit: "%", Value: with,
		Bound: &Bound{"the same agents, only acknowledged", bare},
	})
	r.add(Figure{Row: "scale", What: "the same without them", Unit: "%", Value: alone})
	r.add(Figure{Row: "scale", What: what + "resident memory that they add", Unit: "MB", Value: now - before})
	return nil
}

// idlers connects agents without work; stop ends them.
func (r *run) idlers(ctx context.Context, addresses []string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	s := &simulation{coordinators: addresses, agents: r.o.idlers, slots: 4, group: "idle", prefix: "idle", ramp: 2 * time.Second}
	wait := s.start(ctx)
	return func() {
		cancel()
		wait()
	}
}

// watch gives the share of a core that a process uses while nothing happens, in
// percent.
func (r *run) watch(ctx context.Context, pid int) (float64, error) {
	begin, start := processorSeconds(pid), time.Now()
	select {
	case <-time.After(r.o.idle):
		return (processorSeconds(pid) - begin) / time.Since(start).Seconds() * 100, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (r *run) bareIdlers(ctx context.Context) (float64, error) {
	e, err := startEcho(ctx)
	if err != nil {
		return 0, err
	}
	defer e.stop()
	stop := r.idlers(ctx, []string{e.address})
	defer stop()
	err = fleet.Until(ctx, "the agents have connected", func(context.Context) (bool, error) {
		return sockets(e.pid) >= r.o.idlers, nil
	})
	if err != nil {
		return 0, err
	}
	return r.watch(ctx, e.pid)
}

// sockets counts the open sockets of a process.
func sockets(pid int) int {
	n := 0
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, f := range files {
		if target, err := os.Readlink(f); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}
