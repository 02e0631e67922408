package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"backfleet/api/client"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/fault"
)

// soakOptions are the flags of the soak. What is 0 follows from the length.
type soakOptions struct {
	length       time.Duration
	every        time.Duration // between samples
	keep         time.Duration // plans and logs, after their end
	agents       int
	slots        int // of each
	rate         int // instances a second
	instances    int // of a plan
	shells       int // real processes a second
	killFollower time.Duration
	killLeader   time.Duration
	dir          string
	binary       string
	samples      string
	results      string
}

// judged is the shortest soak whose slopes say something.
const judged = 30 * time.Minute

func (o *soakOptions) complete() error {
	if o.length < time.Minute {
		return fault.Field("for", "%v: expected at least 1m", o.length)
	}
	if o.rate < 1 || o.agents < 1 || o.slots < 1 {
		return fault.Field("rate", "agents, slots and rate must be at least 1")
	}
	if o.keep == 0 {
		o.keep = max(time.Minute, min(10*time.Minute, o.length/6))
	}
	if o.instances == 0 {
		o.instances = min(1_000_000, int(o.length.Seconds())*o.rate/6)
	}
	o.instances = max(1, o.instances/soakNodes) * soakNodes
	if o.killFollower == 0 {
		o.killFollower = o.length / 6
	}
	if o.killLeader == 0 {
		o.killLeader = o.length * 5 / 12
	}
	if o.samples == "" {
		o.samples = filepath.Join("figures", "soak-"+time.Now().UTC().Format("20060102-150405")+".jsonl")
	}
	return nil
}

func soakCommand() *cobra.Command {
	o := soakOptions{}
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Let a cluster work for long, kill its members, and judge whether it stays as it was",
		Long: "Three coordinators, simulated agents and a real one work through plan after plan beside the schedule, while\n" +
			"coordinators are killed. In the end memory, disk, goroutines, open files, throughput and latency must be where they\n" +
			"were, and every instance must have happened once. A verdict that fails is the exit status.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := &run{errOut: cmd.ErrOrStderr(), started: time.Now()}
			return r.soak(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.length, "for", time.Hour, "how long; slopes are judged from 30m on")
	f.DurationVar(&o.every, "every", 10*time.Second, "pause between samples")
	f.DurationVar(&o.keep, "keep", 0, "how long plans and logs are kept (default a sixth of the whole, at most 10m)")
	f.IntVar(&o.agents, "agents", 200, "simulated agents")
	f.IntVar(&o.slots, "slots", 50, "slots of each")
	f.IntVar(&o.rate, "rate", 3000, "simulated instances a second; how long each one takes follows from it")
	f.IntVar(&o.instances, "instances", 0, "instances of a plan (default a sixth of all, at most 1,000,000)")
	f.IntVar(&o.shells, "shells", 10, "real processes a second")
	f.DurationVar(&o.killFollower, "kill-follower", 0, "pause between kills of followers (default a sixth of the whole)")
	f.DurationVar(&o.killLeader, "kill-leader", 0, "pause between kills of leaders (default five twelfths of the whole)")
	f.StringVar(&o.dir, "dir", "", "`folder` for the temporary one; its disk is the one that is used (default: the system's)")
	f.StringVar(&o.binary, "binary", "", "backfleet binary (default: built from this module)")
	f.StringVar(&o.samples, "samples", "", "`file` for the samples, a line of JSON each (default: a new one in figures/)")
	f.StringVar(&o.results, "results", "", "also append a section with the verdicts to this Markdown `file`")
	return cmd
}

// soak is one soak under way.
type soak struct {
	*run
	o      soakOptions
	fleet  *fleet.Fleet
	client *client.Client // of those who submit and judge
	looker *client.Client // of those who measure
	pprof  string         // where the real agent shows its goroutines
	ledger *ledger
	tally  *tally
	began  time.Time

	mu        sync.Mutex
	current   string // the plan submitted last
	plans     []planVerdict
	shells    map[string]int // real plans and their instances
	latencies map[string][]latency
	samples   []sample
	kills     []kill
	stalls    []stall
	changes   []change
	errs      []error
}

// kill is the end of a coordinator by our hand.
type kill struct {
	at     time.Time
	name   string
	leader bool
}

// planVerdict says whether a plan's instances happened once.
type planVerdict struct {
	ID        string  `json:"id"`
	Instances int     `json:"instances"`
	Seconds   float64 `json:"seconds"`
	Succeeded int     `json:"succeeded"` // by the API
	Agents    audit   `json:"agents"`    // by the agents
	once      bool
}

func (r *run) soak(ctx context.Context, o soakOptions, out interface{ Write([]byte) (int, error) }) (err error) {
	if err := o.complete(); err != nil {
		return err
	}
	r.o.binary = o.binary
	if r.dir, err = os.MkdirTemp(o.dir, "backfleet-soak-"); err != nil {
		return fault.Wrap(err, fault.Invalid, "--dir: a temporary folder cannot be made")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	if err := r.prepareBinary(ctx); err != nil {
		return err
	}
	report := &Report{Machine: describeMachine(r.dir), At: time.Now().UTC().Truncate(time.Second), Commit: commit()}
	s := &soak{run: r, o: o, ledger: newLedger(), tally: newTally(math.MaxInt), shells: map[string]int{}, latencies: map[string][]latency{}}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.fleet.Stop(context.WithoutCancel(ctx))) }()
	if err := s.live(ctx); err != nil {
		return errors.Join(err, s.lastWords())
	}
	report.Seconds, report.LoadAfter = time.Since(r.started).Seconds(), loadAverage()
	return s.conclude(report, out)
}

// lastWords are what the processes logged last.
func (s *soak) lastWords() error {
	var errs []error
	for _, p := range slices.Concat(s.fleet.Coordinators, s.fleet.Agents) {
		errs = append(errs, fmt.Errorf("%s: %s", p.Name, lastLine(p.Log)))
	}
	return errors.Join(errs...)
}

func (s *soak) start(ctx context.Context) (err error) {
	ports, err := fleet.FreePorts(1)
	if err != nil {
		return err
	}
	s.pprof = ports[0]
	keep := s.o.keep.String()
	s.fleet, err = fleet.Start(ctx, fleet.Config{
		Binary: s.binary, Dir: s.dir, Coordinators: 3, Agents: 1, Slots: 4,
		CoordinatorFlags: []string{"--keep-instances", keep, "--keep-logs-shared", keep, "--keep-logs-exclusive", keep},
		AgentFlags:       []string{"--pprof", s.pprof},
	})
	if err != nil {
		return err
	}
	if s.client, err = s.fleet.Client(s.fleet.Servers...); err == nil {
		s.looker, err = s.fleet.Client(s.fleet.Servers...)
	}
	if err != nil {
		return errors.Join(err, s.fleet.Stop(context.WithoutCancel(ctx)))
	}
	return nil
}

// live is the soak itself: everything at once until the time is over, then the
// plans that have begun to their end.
func (s *soak) live(ctx context.Context) error {
	if err := s.applyNodes(ctx); err != nil {
		return err
	}
	status, err := s.client.Cluster(ctx)
	if err != nil {
		return err
	}
	all, cancel := context.WithCancel(ctx)
	defer cancel()
	sim := &simulation{
		agents: s.o.agents, slots: s.o.slots, group: soakGroup, ramp: 5 * time.Second,
		takes: spread(s.mean()), tally: s.tally, ledger: s.ledger,
	}
	for _, server := range status.Servers {
		sim.coordinators = append(sim.coordinators, server.RPCAddress)
	}
	wait := sim.start(all)
	s.began = time.Now()
	s.say("soak: %d agents of %d slots, plans of %d instances, %d /s, for %v", s.o.agents, s.o.slots, s.o.instances, s.o.rate, s.o.length)
	load, over := context.WithTimeout(all, s.o.length)
	defer over()
	beside, inner := errgroup.WithContext(all)
	beside.Go(func() error { return s.sampling(inner) })
	beside.Go(func() error { return s.probing(inner) })
	beside.Go(func() error { return s.terms(inner) })
	beside.Go(func() error { return s.canary(inner) })
	work, working := errgroup.WithContext(all)
	work.Go(func() error { return s.bigPlans(working, load) })
	work.Go(func() error { return s.realPlans(working, load) })
	work.Go(func() error { return s.killing(working, load) })
	err = work.Wait()
	cancel()
	wait()
	if e := beside.Wait(); e != nil && !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, ctx.Err())
}

// mean is how long a simulated instance takes, so that all slots full give the
// rate.
func (s *soak) mean() time.Duration {
	return time.Duration(float64(s.o.agents*s.o.slots) / float64(s.o.rate) * float64(time.Second))
}

// killing ends followers and leaders in their turn, and brings each back. One
// that has just come back is given time: two that are away are no majority.
func (s *soak) killing(ctx, load context.Context) error {
	const down = 5 * time.Second
	pause := min(2*time.Minute, s.o.length/20)
	follower, leader, earliest := s.began.Add(s.o.killFollower), s.began.Add(s.o.killLeader), s.began
	for {
		next, leads := follower, false
		if leader.Before(follower) {
			next, leads = leader, true
		}
		if next.Before(earliest) {
			next = earliest
		}
		select {
		case <-load.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
		p, err := s.fleet.Leader(ctx)
		if err != nil {
			return err
		}
		if !leads {
			others := slices.DeleteFunc(slices.Clone(s.fleet.Coordinators), func(o *fleet.Process) bool { return o == p })
			p = others[len(s.kills)%len(others)]
			follower = follower.Add(s.o.killFollower)
		} else {
			leader = leader.Add(s.o.killLeader)
		}
		s.mu.Lock()
		s.kills = append(s.kills, kill{time.Now(), p.Name, leads})
		s.mu.Unlock()
		s.say("soak: kill -9 of %s (leader: %v)", p.Name, leads)
		if err := p.Kill(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(down):
		}
		if err := p.Start(); err != nil {
			return err
		}
		earliest = time.Now().Add(pause)
	}
}

// planNumber is 12 of "b12".
func planNumber(id string) uint64 {
	n, _ := strconv.ParseUint(id[1:], 10, 64)
	return n
}
