package drill

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/fault"
)

// Cluster is a real one that is drilled.
type Cluster struct {
	Client client.Options
	// Kill and Restart are commands for a shell that act on a coordinator:
	// {host} is the host of its address, {id} its name.
	Kill, Restart string
	Group         string        // resource group for the drill's attempts
	Yes           string        // the cluster's name, from who means it
	In            io.Reader     // where the name is typed otherwise
	Within        time.Duration // in which it must be whole again
}

const (
	mostTimes = 10      // on a real cluster
	leastFree = 1 << 30 // bytes on the disk of a coordinator
	behind    = 100     // entries that one may be behind
)

// real drills a real cluster.
type real struct {
	*drill
	c *Cluster
}

// real refuses before anything is changed, or drills, and removes what it made.
func (o *Options) real(ctx context.Context) (_ *Report, err error) {
	c := o.Cluster
	if err := o.completeReal(); err != nil {
		return nil, err
	}
	d, err := o.begin(o.Kind, c.Client)
	if err != nil {
		return nil, err
	}
	r := &real{d, c}
	name, err := r.name(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.fit(ctx); err != nil {
		return nil, err
	}
	if err := r.alone(ctx); err != nil {
		return nil, err
	}
	if err := r.confirm(name); err != nil {
		return nil, err
	}
	r.report.Cluster = name
	if err := r.load.apply(ctx, "", c.Group); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.remove(context.WithoutCancel(ctx))) }()
	if err := r.drillIt(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		r.report.Broken = append(r.report.Broken, "stopped: "+err.Error())
	}
	r.report.NotSeen = "what attempts wrote (data), and the order of events other than by hosts' clocks"
	return r.report, nil
}

func (o *Options) completeReal() error {
	c := o.Cluster
	switch {
	case o.Kind != "leader-kill" && o.Kind != "rolling-restart":
		return fault.New(fault.Invalid, "%s is for fleets of its own: on a cluster there are leader-kill and rolling-restart", o.Kind)
	case o.Times > mostTimes:
		return fault.Field("--times", "%d: on a cluster at most %d", o.Times, mostTimes)
	case o.Kind == "leader-kill" && c.Kill == "":
		return fault.Field("--kill", "it is empty: give the command that kills a coordinator, such as 'ssh {host} sudo systemctl kill -s KILL backfleet-coordinator'")
	case o.Kind == "rolling-restart" && c.Restart == "":
		return fault.Field("--restart", "it is empty: give the command that restarts a coordinator, such as 'ssh {host} sudo systemctl restart backfleet-coordinator'")
	case c.Group == "":
		return fault.Field("--resource-group", "it is empty: name one that has room for the drill's attempts")
	case c.Within < time.Second:
		return fault.Field("--within", "%s: expected at least 1s", c.Within)
	}
	return nil
}

func (r *real) name(ctx context.Context) (string, error) {
	w, err := r.load.client.LoginWays(ctx)
	if err != nil {
		return "", err
	}
	return w.Cluster, nil
}

// fit says what keeps the cluster from surviving a loss now.
func (r *real) fit(ctx context.Context) error {
	c, err := r.load.client.Standings(ctx)
	if err != nil {
		return err
	}
	if err := standing(c); err != nil {
		return err
	}
	r.report.Coordinators, r.report.Agents = len(c.Servers), 0
	var serving bool
	for a, err := range r.load.client.AllAgents(ctx, &v1.ListAgentsParams{}) {
		if err != nil {
			return err
		}
		r.report.Agents++
		if a.Attempts > 0 && a.State != v1.AgentStateReady && a.State != v1.AgentStateDraining {
			return fault.New(fault.Conflict, "agent %s is %s and holds %d attempts, whose leases may end while nobody leads: wait until they have, or bring it back", a.ID, a.State, a.Attempts)
		}
		for _, g := range a.Groups {
			serving = serving || g.Group == r.c.Group && a.State == v1.AgentStateReady
		}
	}
	if !serving {
		return fault.Field("--resource-group", "no agent of %q takes work: the drill's attempts would not run", r.c.Group)
	}
	return nil
}

// standing says what is wrong with the coordinators.
func standing(c *v1.Cluster) error {
	voters := 0
	for _, s := range c.Servers {
		if s.Role != v1.ServerRoleNonVoter {
			voters++
		}
		switch t := s.Standing; {
		case t == nil:
			return fault.New(fault.Conflict, "coordinator %s does not answer (%s): the loss of another would stop the cluster", s.ID, s.Silent)
		case t.Behind > behind:
			return fault.New(fault.Conflict, "coordinator %s is %d entries behind: wait until it has caught up", s.ID, t.Behind)
		case t.DiskFree != nil && *t.DiskFree < leastFree:
			return fault.New(fault.Conflict, "coordinator %s has %d MB free on its disk: make room first", s.ID, *t.DiskFree>>20)
		}
	}
	switch {
	case voters < 3:
		return fault.New(fault.Conflict, "%d coordinators have a vote: expected at least 3, for fewer do not survive the loss of one", voters)
	case c.Leader == "":
		return fault.New(fault.Conflict, "nobody leads at the moment")
	}
	return nil
}

// alone refuses while a backfill of another drill is not finished.
func (r *real) alone(ctx context.Context) error {
	for b, err := range r.load.client.AllBackfills(ctx, &v1.ListBackfillsParams{Contains: "drill-", Limit: 1000}) {
		if err != nil {
			return err
		}
		if strings.HasPrefix(b.Name, "drill-") && !b.Quiet && !strings.HasPrefix(b.Name, r.load.name) {
			return fault.New(fault.Conflict, "another drill is under way: backfill %s (%s); wait for it, or stop what it has left: backfleet backfill stop %s", b.ID, b.Name, b.ID)
		}
	}
	return nil
}

// confirm has the operator type the cluster's name.
func (r *real) confirm(name string) error {
	given := r.c.Yes
	if given == "" {
		fmt.Fprintf(r.o.Err, "%s, %d times, on cluster %s: %d coordinators, %d agents.\nType the name of the cluster to begin: ",
			r.o.Kind, r.o.Times, name, r.report.Coordinators, r.report.Agents)
		line, err := bufio.NewReader(r.c.In).ReadString('\n')
		if err != nil && line == "" {
			return fault.Field("--yes-i-mean", "nobody has typed the name of the cluster")
		}
		given = strings.TrimSpace(line)
	}
	if given != name {
		return fault.Field("--yes-i-mean", "%q is not the name of this cluster, which is %q: nothing was done", given, name)
	}
	return nil
}

func (r *real) drillIt(ctx context.Context) error {
	inject := r.killLeader
	if r.o.Kind == "rolling-restart" {
		inject = r.restartAll
	}
	err := r.under(ctx, func(ctx context.Context) error {
		if err := r.working(ctx); err != nil {
			return err
		}
		if err := r.alone(ctx); err != nil { // another drill may have begun at the same time
			return err
		}
		if err := last(ctx, r.between(0, time.Second)); err != nil {
			return err
		}
		return inject(ctx)
	})
	r.finish()
	if err != nil {
		return err
	}
	return r.report.judge(ctx, evidence{client: r.load.client, ids: r.load.ids, marks: r.marks})
}

// killLeader kills the leader and waits until another leads and all is whole.
func (r *real) killLeader(ctx context.Context) error {
	before, err := r.load.client.Standings(ctx)
	if err != nil {
		return err
	}
	leader, err := serverOf(before, before.Leader)
	if err != nil {
		return err
	}
	whole := r.mark("kill of the leader")
	if err := r.act(ctx, r.c.Kill, leader); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, r.c.Within)
	defer cancel()
	err = fleet.Until(limit, "another term has a leader", func(ctx context.Context) (bool, error) {
		now, err := r.load.client.Cluster(ctx)
		return err == nil && now.Term > before.Term && now.Leader != "", err
	})
	if err != nil {
		return fmt.Errorf("after the kill of %s: %w", leader.ID, err)
	}
	if r.c.Restart != "" {
		if err := r.act(ctx, r.c.Restart, leader); err != nil {
			return err
		}
	}
	err = r.whole(ctx, leader.ID)
	whole()
	return err
}

// restartAll restarts one coordinator after the other, the leader last.
func (r *real) restartAll(ctx context.Context) error {
	c, err := r.load.client.Standings(ctx)
	if err != nil {
		return err
	}
	var order []v1.ClusterServer
	for _, s := range c.Servers {
		if s.ID != c.Leader {
			order = append(order, s)
		}
	}
	leader, err := serverOf(c, c.Leader)
	if err != nil {
		return err
	}
	for _, s := range append(order, leader) {
		what := "restart of a follower"
		if s.ID == leader.ID {
			what = "restart of the leader"
		}
		whole := r.mark("%s", what)
		if err := r.act(ctx, r.c.Restart, s); err != nil {
			return err
		}
		err := r.whole(ctx, s.ID)
		whole()
		if err != nil {
			return err
		}
	}
	return nil
}

func serverOf(c *v1.Cluster, id string) (v1.ClusterServer, error) {
	for _, s := range c.Servers {
		if s.ID == id {
			return s, nil
		}
	}
	return v1.ClusterServer{}, fault.New(fault.Unavailable, "nobody leads at the moment")
}

// whole waits until the cluster would survive the next loss and attempts go on.
func (r *real) whole(ctx context.Context, after string) error {
	limit, cancel := context.WithTimeout(ctx, r.c.Within)
	defer cancel()
	err := fleet.Until(limit, "the cluster is whole", func(ctx context.Context) (bool, error) {
		c, err := r.load.client.Standings(ctx)
		if err == nil {
			err = standing(c)
		}
		return err == nil, err
	})
	if err == nil {
		err = r.working(limit)
	}
	if err != nil {
		return fmt.Errorf("%s after %s it is not whole again: %w", r.c.Within, after, err)
	}
	return nil
}

// working waits until the drill's own instances succeed again.
func (r *real) working(ctx context.Context) error {
	before := r.load.succeeded.Load()
	return fleet.Until(ctx, "attempts succeed", func(context.Context) (bool, error) { return r.load.succeeded.Load() > before+1, nil })
}

// remove ends what is left of the drill and takes its nodes away.
func (r *real) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var left []v1.BackfillID
	for b, err := range r.load.client.AllBackfills(ctx, &v1.ListBackfillsParams{Contains: r.load.name, Limit: 1000}) {
		if err != nil {
			return err
		}
		if !b.Quiet {
			left = append(left, b.ID)
		}
	}
	if len(left) > 0 {
		if _, err := r.load.client.Operate(ctx, v1.BackfillsOperation{Backfills: left, Operation: v1.BackfillOperationStop, Why: "the drill has ended"}); err != nil {
			return err
		}
		for _, id := range left {
			if _, err := r.load.client.Wait(ctx, id); err != nil {
				return err
			}
		}
	}
	if r.o.Keep {
		return nil
	}
	var a v1.NodeApplication
	for _, n := range nodes {
		a.Remove = append(a.Remove, n.id)
	}
	_, err := r.load.client.ApplyNodes(ctx, a)
	return err
}

// plain are names that a shell takes as they are.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]*$`)

// act runs the operator's command for a coordinator.
func (r *real) act(ctx context.Context, template string, s v1.ClusterServer) error {
	host := ""
	if u, err := url.Parse(s.HTTPAddress); err == nil {
		host = u.Hostname()
	}
	for _, name := range []string{host, s.ID} {
		if !plain.MatchString(name) {
			return fault.New(fault.Invalid, "%q cannot be put into a command: expected letters, digits and . _ : -", name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.c.Within)
	defer cancel()
	line := strings.NewReplacer("{host}", host, "{id}", s.ID).Replace(template)
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fault.New(fault.Unavailable, "%s: %s: %s", line, err, bytes.TrimSpace(out))
	}
	return nil
}
