package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"backfleet/ops/demo/fleet"
	"backfleet/ops/drill/disk"
	"backfleet/ops/drill/network"
)

// kind is a fault, what it takes, and what is expected of it.
type kind struct {
	name, short string
	network     bool // hosts of their own
	disk        bool // disks that can be made full and slow
	clock       bool // clocks that can be moved
	silence     bool // see evidence
	keeps       bool // see evidence
	lease       time.Duration
	inject      func(context.Context, *local) error // one fault, until the fleet is whole again
}

var kinds []kind

func init() { // their functions may look at the list
	kinds = []kind{
		{name: "leader-kill", short: "the leader is killed (SIGKILL) and started again", inject: leaderKill},
		{name: "leader-pause", short: "the leader stands still (SIGSTOP) until another leads, and goes on (SIGCONT)", inject: leaderPause},
		{name: "partition", short: "the leader is cut off: from peers, from agents, one way, flapping", network: true, inject: partition},
		{name: "disk-full", short: "the leader's disk takes nothing more (ENOSPC)", disk: true, inject: diskFull},
		{name: "disk-slow", short: "the leader's disk does not finish a sync", disk: true, inject: diskSlow},
		{name: "agent-loss", short: "an agent's host is lost: its session and its keeper are killed", lease: 5 * time.Second, silence: true, inject: agentLoss},
		{name: "rolling-restart", short: "every coordinator and every agent's session is restarted (SIGTERM), one by one", keeps: true, inject: rollingRestart},
		{name: "clock-jump", short: "wall clocks of a coordinator and an agent jump by an hour", clock: true, silence: true, keeps: true, inject: clockJump},
	}
}

func leaderKill(ctx context.Context, l *local) error {
	leader, err := l.fleet.Leader(ctx)
	if err != nil {
		return err
	}
	whole := l.mark("kill of the leader")
	if err := leader.Kill(); err != nil {
		return err
	}
	if _, err := l.fleet.Leader(ctx); err != nil {
		return err
	}
	if err := l.working(ctx); err != nil { // as one fewer
		return err
	}
	err = errors.Join(leader.Start(), l.whole(ctx))
	whole()
	return err
}

func leaderPause(ctx context.Context, l *local) error {
	leader, err := l.fleet.Leader(ctx)
	if err != nil {
		return err
	}
	whole := l.mark("pause of the leader")
	if err := leader.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err = l.otherLeads(ctx, leader)
	if err == nil {
		err = last(ctx, l.between(0, time.Second))
	}
	err = errors.Join(err, leader.Signal(syscall.SIGCONT))
	if err == nil {
		err = l.whole(ctx)
	}
	whole()
	return err
}

// otherLeads waits until a coordinator that is not this one says that it leads.
func (l *local) otherLeads(ctx context.Context, than *fleet.Process) error {
	return fleet.Until(ctx, "another than "+than.Name+" leads", func(ctx context.Context) (bool, error) {
		for i, c := range l.fleet.Coordinators {
			if c == than || !c.Running() {
				continue
			}
			if s, err := l.alone[i].Cluster(ctx); err == nil && s.Leader == c.Name {
				return true, nil
			}
		}
		return false, nil
	})
}

// A shape is a cut around the leader. others are the other coordinators.
type shape struct {
	name string
	ways func(leader string, others, agents []string) []network.Way
	// elects says that another leads before the cut is healed. Otherwise it
	// lasts for less than a lease.
	elects bool
	flaps  bool
}

var shapes = []shape{
	{name: "cut of the leader from its peers", elects: true, ways: func(leader string, others, _ []string) []network.Way {
		return network.Between([]string{leader}, others)
	}},
	{name: "cut of the leader from the agents", ways: func(leader string, _, agents []string) []network.Way {
		return network.Between([]string{leader}, agents)
	}},
	{name: "cut of what the leader sends to its peers", elects: true, ways: func(leader string, others, _ []string) []network.Way { return network.Ways([]string{leader}, others) }},
	{name: "cut of what the leader hears from its peers", elects: true, ways: func(leader string, others, _ []string) []network.Way { return network.Ways(others, []string{leader}) }},
	{name: "cut of the leader with all agents from the majority", ways: func(leader string, others, agents []string) []network.Way {
		return network.Between(append([]string{leader}, agents...), others)
	}},
	{name: "flapping of the leader's links to its peers", flaps: true, ways: func(leader string, others, _ []string) []network.Way {
		return network.Between([]string{leader}, others)
	}},
}

func names(list []*fleet.Process, but *fleet.Process) (out []string) {
	for _, p := range list {
		if p != but {
			out = append(out, p.Name)
		}
	}
	return out
}

// partition cuts in one shape after the other, those of each round in an order
// by chance.
func partition(ctx context.Context, l *local) error {
	leader, err := l.fleet.Leader(ctx)
	if err != nil {
		return err
	}
	if len(l.shapes) == 0 {
		l.shapes = slices.Clone(shapes)
		l.random.Shuffle(len(l.shapes), func(i, j int) { l.shapes[i], l.shapes[j] = l.shapes[j], l.shapes[i] })
	}
	s := l.shapes[0]
	l.shapes = l.shapes[1:]
	ways := s.ways(leader.Name, names(l.fleet.Coordinators, leader), names(l.fleet.Agents, nil))
	whole := l.mark("%s", s.name)
	switch {
	case s.flaps:
		for i := 0; i < 5 && err == nil; i++ {
			err = errors.Join(l.net.Cut(ways...), last(ctx, l.between(100*time.Millisecond, 700*time.Millisecond)), l.net.Heal(ways...),
				last(ctx, l.between(50*time.Millisecond, 400*time.Millisecond)))
		}
	case s.elects:
		if err = l.net.Cut(ways...); err == nil {
			err = errors.Join(l.otherLeads(ctx, leader), last(ctx, l.between(0, time.Second)))
		}
	default:
		err = errors.Join(l.net.Cut(ways...), last(ctx, l.between(time.Second, 3*time.Second)))
	}
	err = errors.Join(err, l.net.Heal(ways...))
	if err == nil {
		err = l.whole(ctx)
	}
	whole()
	return err
}

func diskFull(ctx context.Context, l *local) error {
	return l.onDisk(ctx, "full disk of the leader", (*disk.Disk).Fill)
}

func diskSlow(ctx context.Context, l *local) error {
	return l.onDisk(ctx, "stuck disk of the leader", func(d *disk.Disk) { d.Slow(time.Hour) })
}

// onDisk does something to the leader's disk until another leads, undoes it,
// and starts the coordinator again if it has ended, as it is to.
func (l *local) onDisk(ctx context.Context, what string, harm func(*disk.Disk)) error {
	leader, err := l.fleet.Leader(ctx)
	if err != nil {
		return err
	}
	d := l.disks[slices.Index(l.fleet.Coordinators, leader)]
	whole := l.mark("%s", what)
	harm(d)
	err = l.otherLeads(ctx, leader)
	if err == nil {
		err = last(ctx, l.between(0, time.Second))
	}
	d.Heal()
	if err != nil {
		return err
	}
	// It ends by itself, or has only handed over: both are whole again.
	err = fleet.Until(ctx, leader.Name+" is back", func(ctx context.Context) (bool, error) {
		if !leader.Running() {
			return true, leader.Start()
		}
		_, err := l.alone[slices.Index(l.fleet.Coordinators, leader)].Cluster(ctx)
		return err == nil, err
	})
	if err == nil {
		err = l.wholeRestarting(ctx, leader)
	}
	whole()
	return err
}

// wholeRestarting is whole; a coordinator that ends meanwhile is started again,
// as its service manager would.
func (l *local) wholeRestarting(ctx context.Context, p *fleet.Process) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- fleet.Until(ctx, p.Name+" ends", func(context.Context) (bool, error) {
			if !p.Running() {
				return false, p.Start()
			}
			return false, nil
		})
	}()
	err := l.whole(ctx)
	cancel()
	<-ended
	return err
}

func agentLoss(ctx context.Context, l *local) error {
	agent := l.fleet.Agents[l.random.IntN(len(l.fleet.Agents))]
	whole := l.mark("loss of an agent")
	if err := l.fleet.KillAgent(ctx, agent); err != nil {
		return err
	}
	err := fleet.Until(ctx, "the leases of "+agent.Name+" have ended", func(ctx context.Context) (bool, error) {
		a, err := l.load.client.Agent(ctx, agent.Name)
		return err == nil && a.Agent.Attempts == 0, err
	})
	err = errors.Join(err, agent.Start())
	if err == nil {
		err = l.whole(ctx)
	}
	whole()
	return err
}

func rollingRestart(ctx context.Context, l *local) error {
	for _, p := range slices.Concat(l.fleet.Coordinators, l.fleet.Agents) {
		leader, err := l.fleet.Leader(ctx)
		if err != nil {
			return err
		}
		what := "restart of a follower"
		switch {
		case slices.Contains(l.fleet.Agents, p):
			what = "restart of an agent's session"
		case p == leader:
			what = "restart of the leader"
		}
		whole := l.mark("%s", what)
		if err := p.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		status, err := p.Wait(ctx)
		if err == nil && status != 0 {
			err = fmt.Errorf("%s ended with status %d after SIGTERM", p.Name, status)
		}
		if err := errors.Join(err, p.Start()); err != nil {
			return err
		}
		err = l.whole(ctx)
		whole()
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *local) clockFile(name string) string { return filepath.Join(l.dir, name+".clock") }

// clockJump moves the clocks of a coordinator and of an agent, to and fro.
func clockJump(ctx context.Context, l *local) error {
	whole := l.mark("jump of two clocks")
	for _, list := range [][]*fleet.Process{l.fleet.Coordinators, l.fleet.Agents} {
		p := list[l.random.IntN(len(list))]
		by := time.Duration(l.random.IntN(3)-1) * time.Hour
		file := l.clockFile(p.Name)
		if err := os.WriteFile(file+".new", []byte(by.String()), 0o600); err != nil {
			return err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return err
		}
	}
	if err := last(ctx, l.between(time.Second, 3*time.Second)); err != nil { // work goes on
		return err
	}
	err := l.whole(ctx)
	whole()
	return err
}
