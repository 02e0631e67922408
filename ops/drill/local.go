package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/drill/disk"
	"backfleet/ops/drill/network"
	"backfleet/pkg/wallclock"
)

// patience is how long the cluster may take to be whole again after a fault,
// before the drill gives it up.
const patience = 90 * time.Second

// local is a drill on a fleet of its own.
type local struct {
	*drill
	dir   string // everything of the fleet
	fleet *fleet.Fleet
	alone []*client.Client // one for each coordinator
	net   *network.Network
	disks []*disk.Disk // of the coordinators
	// shapes are the cuts that this round has left.
	shapes []shape
}

// local drills one kind on a fleet of its own.
func (o *Options) local(ctx context.Context, k kind) (_ *Report, err error) {
	l := &local{}
	if l.dir, err = os.MkdirTemp("", "backfleet-drill-"); err != nil {
		return nil, err
	}
	err = l.run(ctx, o, k)
	if l.drill == nil || ctx.Err() != nil {
		return nil, errors.Join(err, os.RemoveAll(l.dir))
	}
	if err != nil {
		l.report.Broken = append(l.report.Broken, "not whole again: "+err.Error())
	}
	l.report.Replay = fmt.Sprintf("backfleet drill %s --times %d --coordinators %d --agents %d --seed %d", k.name, o.Times, o.Coordinators, o.Agents, o.Seed)
	if o.Keep || !l.report.Held() {
		l.report.Folder = l.dir
		return l.report, nil
	}
	return l.report, os.RemoveAll(l.dir)
}

// run gives an error where the fleet did not start or was not whole again.
func (l *local) run(ctx context.Context, o *Options, k kind) (err error) {
	out := filepath.Join(l.dir, "out")
	if err := os.MkdirAll(filepath.Join(out, "tables"), 0o755); err != nil {
		return err
	}
	config := fleet.Config{Binary: o.Binary, Dir: l.dir, Coordinators: o.Coordinators, Agents: o.Agents, Slots: 4}
	defer func() { err = errors.Join(err, l.stop(context.WithoutCancel(ctx))) }()
	if err := l.prepare(k, &config); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if l.fleet, err = fleet.Start(starting, config); err != nil {
		return err
	}
	if l.drill, err = o.begin(k.name, l.fleet.Options(l.fleet.Servers...)); err != nil {
		return err
	}
	for _, s := range l.fleet.Servers {
		alone := l.fleet.Options(s)
		alone.Patience, alone.AttemptTimeout = time.Millisecond, time.Second
		one, err := client.New(alone)
		if err != nil {
			return err
		}
		l.alone = append(l.alone, one)
	}
	if err := l.load.apply(ctx, out, ""); err != nil {
		return err
	}
	err = l.under(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := l.working(ctx); err != nil {
			return err
		}
		if err := last(ctx, l.between(0, 600*time.Millisecond)); err != nil { // renewals are at any point of their round
			return err
		}
		return k.inject(ctx, l)
	})
	l.finish()
	if err != nil {
		return err
	}
	return l.report.judge(ctx, evidence{client: l.load.client, ids: l.load.ids, marks: l.marks, dir: out, silence: k.silence, keeps: k.keeps})
}

// prepare makes what the fleet stands on.
func (l *local) prepare(k kind, config *fleet.Config) (err error) {
	if k.lease > 0 {
		config.CoordinatorFlags = append(config.CoordinatorFlags, "--lease", k.lease.String())
	}
	if k.network {
		var names []string
		for i := range config.Coordinators {
			names = append(names, fmt.Sprint("c", i+1))
		}
		for i := range config.Agents {
			names = append(names, fmt.Sprint("a", i+1))
		}
		if l.net, err = network.New(names...); err != nil {
			return err
		}
		*config = l.net.Place(*config)
	}
	for i := 0; k.disk && i < config.Coordinators; i++ {
		name := fmt.Sprint("c", i+1)
		d, err := disk.Mount(filepath.Join(l.dir, name+".disk"), filepath.Join(l.dir, name))
		if err != nil {
			return err
		}
		l.disks = append(l.disks, d)
	}
	if k.clock {
		config.Around = func(name string) []string { return []string{"env", wallclock.Variable + "=" + l.clockFile(name)} }
	}
	return nil
}

func (l *local) stop(ctx context.Context) error {
	var errs []error
	for _, d := range l.disks {
		d.Heal()
	}
	if l.net != nil {
		errs = append(errs, l.net.HealAll())
	}
	if l.fleet != nil {
		errs = append(errs, l.fleet.Stop(ctx))
	}
	for _, d := range l.disks {
		errs = append(errs, d.Close())
	}
	if l.net != nil {
		errs = append(errs, l.net.Close())
	}
	return errors.Join(errs...)
}

// noted is how much attempts have noted.
func (l *local) noted() int64 {
	info, err := os.Stat(filepath.Join(l.dir, "out", "notes"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// working waits until attempts note something again.
func (l *local) working(ctx context.Context) error {
	before := l.noted()
	return fleet.Until(ctx, "attempts begin or end", func(context.Context) (bool, error) { return l.noted() > before+300, nil })
}

// whole waits until every coordinator follows the same leader and has caught
// up, every agent is ready, and attempts go on.
func (l *local) whole(ctx context.Context) error {
	err := fleet.Until(ctx, "every coordinator follows one leader and every agent is ready", func(ctx context.Context) (bool, error) {
		var newest v1.LogIndex
		leader := ""
		for i, one := range l.alone {
			c, err := one.Cluster(ctx)
			if err != nil {
				return false, fmt.Errorf("%s: %w", l.fleet.Coordinators[i].Name, err)
			}
			if c.Leader == "" || leader != "" && c.Leader != leader {
				return false, fmt.Errorf("%s follows %q, another %q", c.Self, c.Leader, leader)
			}
			leader, newest = c.Leader, max(newest, c.CommitIndex)
			if c.AppliedIndex+100 < newest {
				return false, fmt.Errorf("%s has applied %d of %d", c.Self, c.AppliedIndex, newest)
			}
		}
		agents, err := l.load.client.Agents(ctx, nil)
		if err != nil {
			return false, err
		}
		for _, a := range agents.Items {
			if a.State != v1.AgentStateReady {
				return false, fmt.Errorf("agent %s is %s", a.ID, a.State)
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return l.working(ctx)
}
