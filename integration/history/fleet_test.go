package history_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/history"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/drill/network"
)

var (
	rounds  = flag.Int("history.rounds", 1, "how many times to run real processes, and cuts")
	seed    = flag.Uint64("history.seed", 0, "of the first such round; 0: by the clock")
	length  = flag.Duration("history.length", 5*time.Second, "of such a round, without its end")
	cleanUp []func()
)

// TestMain starts the tests where networks can be made and cut.
func TestMain(m *testing.M) {
	there, status, err := network.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if there {
		status = m.Run()
		for _, f := range cleanUp {
			f()
		}
	}
	os.Exit(status)
}

var binary = sync.OnceValues(func() (string, error) {
	path, done, err := rig.Build("../..")
	if err == nil {
		cleanUp = append(cleanUp, done)
	}
	return path, err
})

// code notes start and end with the time, each with one write. One in six fails.
const code = `said() { echo "$1 $BACKFLEET_INSTANCE $BACKFLEET_FENCE $(date +%s%N) $2" >>"$OUT/notes.log"; }
said start 0
sleep 0.$((BACKFLEET_FENCE % 3 + 1))
if [ $((BACKFLEET_FENCE % 6)) -eq 0 ]; then said end 3; exit 3; fi
said end 0
`

// site is a fleet whose history is recorded.
type site struct {
	*rig.Rig
	seed    uint64
	rnd     *rand.Rand
	rec     *history.Recorder
	began   time.Time
	started []atomic.Int64 // how often, by coordinator
	net     *network.Network
	quiet   bool // nothing happened to agents
	faults  func(s *site)
}

func start(t *testing.T, seed uint64, config fleet.Config) *site {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	config.Binary, config.Coordinators, config.Agents, config.Slots = path, 3, 2, 4
	s := &site{seed: seed, rnd: rand.New(rand.NewPCG(seed, 0)), began: time.Now(), started: make([]atomic.Int64, config.Coordinators), quiet: true}
	s.rec = history.NewRecorder(seed, func() time.Duration { return time.Since(s.began) })
	s.Rig = rig.Start(t, config)
	s.Apply(rig.Node{ID: "heavy", Code: code, Fields: []string{"slots: 2"}}, rig.Node{ID: "light", Code: code})
	return s
}

// worker makes a client.
func (s *site) worker(id int, all *shared) *worker {
	s.T.Helper()
	w, err := newWorker(id, s.seed, s.Servers, s.rec, all, func(i int) string { return fmt.Sprintf("%s/%d", s.Coordinators[i].Name, s.started[i].Load()) })
	s.Must(err)
	return w
}

// round has clients work under faults, then brings everything to rest and judges
// what was recorded.
func (s *site) round(name string) *history.Verdict {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(s.Ctx, *length)
	defer cancel()
	all := &shared{}
	var workers sync.WaitGroup
	for id := range 4 {
		w := s.worker(id, all)
		workers.Go(func() {
			for ctx.Err() == nil {
				w.work(s.Ctx)
			}
		})
	}
	for ctx.Err() == nil {
		s.faults(s)
	}
	workers.Wait()
	s.rest(s.worker(4, all))
	h := s.rec.History()
	h.Quiet = s.quiet
	h.Notes = s.notes()
	v := history.Check(h)
	tell(s.T, name, h, v)
	if v.Backfills < 2 || v.Attempts < 4 || v.Reads < 5 {
		s.T.Errorf("too little has happened to judge anything: %s", v)
	}
	s.T.Logf("%s: %s; %s", name, v, strings.Join(h.Faults, ", "))
	return v
}

// rest resumes what is held and waits until nothing moves; then every
// coordinator gives its account.
func (s *site) rest(w *worker) {
	s.T.Helper()
	for _, id := range w.all.accepted {
		w.toPlan(s.Ctx, id, history.Resume)
		w.toPlan(s.Ctx, id, history.Unfreeze)
	}
	for _, id := range w.all.accepted {
		s.Quiet(id)
	}
	for i := range s.Coordinators {
		s.rec.Account(s.account(i, w))
	}
}

// account is everything that one coordinator tells, as new as what any client
// has met.
func (s *site) account(server int, w *worker) history.Account {
	s.T.Helper()
	a := history.Account{Server: s.Coordinators[server].Name, Index: max(w.seen, s.API.Index())}
	c, err := s.Client(s.Servers[server])
	s.Must(err)
	page, err := c.Backfills(s.Ctx, &v1.ListBackfillsParams{Limit: 1000, Sort: "created", MinIndex: a.Index})
	s.Must(err)
	for _, b := range page.Items {
		f := history.Finished{ID: b.ID, Name: b.Name}
		for _, kind := range []history.Kind{history.ReadStates, history.ReadTotals} {
			op := history.Op{Kind: kind, Backfill: b.ID, Min: a.Index}
			s.Must(look(s.Ctx, c, &op))
			if f.Totals = op.Totals; op.States != "" {
				f.States = op.States
			}
		}
		log, err := c.Operations(s.Ctx, b.ID, &v1.ListOperationsParams{Limit: 1000, MinIndex: a.Index})
		s.Must(err)
		for _, o := range slices.Backward(log.Items) {
			f.Log = append(f.Log, o.Why)
		}
		for i := range f.States {
			list, err := c.Attempts(s.Ctx, b.ID+"."+strconv.Itoa(i), &v1.ListAttemptsParams{Limit: 1000, MinIndex: a.Index})
			s.Must(err)
			var attempts []history.Attempt
			for _, one := range list.Items {
				attempts = append(attempts, history.Attempt{Number: one.Number, Fence: one.Fence, State: string(one.State)})
			}
			f.Attempts = append(f.Attempts, attempts)
		}
		a.Backfills = append(a.Backfills, f)
	}
	return a
}

// notes are what the attempts wrote.
func (s *site) notes() (out []history.Note) {
	s.T.Helper()
	text, err := os.ReadFile(filepath.Join(s.Out, "notes.log"))
	s.Must(err)
	for l := range strings.Lines(string(text)) {
		var what, id string
		var n history.Note
		var at int64
		_, err := fmt.Sscanf(l, "%s %s %d %d %d", &what, &id, &n.Fence, &at, &n.Status)
		s.Must(err)
		backfill, instance, _ := strings.Cut(id, ".")
		n.Backfill, n.At, n.End = backfill, time.Unix(0, at).Sub(s.began), what == "end"
		n.Instance, err = strconv.Atoi(instance)
		s.Must(err)
		out = append(out, n)
	}
	return out
}

// last lets some time go by.
func (s *site) last(from, to time.Duration) {
	select {
	case <-time.After(from + time.Duration(s.rnd.Int64N(int64(to-from)))):
	case <-s.Ctx.Done():
	}
}

// leader is the one that leads, and its number.
func (s *site) leader() (*fleet.Process, int) {
	p, err := s.Leader(s.Ctx)
	s.Must(err)
	return p, slices.Index(s.Coordinators, p)
}

// kills ends or freezes the leader, or another coordinator, now and then.
func kills(s *site) {
	s.last(200*time.Millisecond, time.Second)
	p, i := s.leader()
	if s.rnd.IntN(4) == 0 {
		i = s.rnd.IntN(len(s.Coordinators))
		p = s.Coordinators[i]
	}
	if s.rnd.IntN(2) == 0 {
		s.rec.Fault("%s is killed", p.Name)
		s.Must(p.Kill())
		s.started[i].Add(1)
		s.last(100*time.Millisecond, time.Second)
		s.Must(p.Start())
		return
	}
	s.rec.Fault("%s is frozen", p.Name)
	s.Must(p.Signal(syscall.SIGSTOP))
	s.last(500*time.Millisecond, 2*time.Second)
	s.Must(p.Signal(syscall.SIGCONT))
	s.rec.Fault("%s is awake", p.Name)
}

// TestR13_HistoriesOfProcesses: real processes, leaders that are killed and
// frozen, and clients that see it.
func TestR13_HistoriesOfProcesses(t *testing.T) {
	again(t, "processes", func(t *testing.T, name string, seed uint64) *history.Verdict {
		s := start(t, seed, fleet.Config{})
		s.faults = kills
		return s.round(name)
	})
}

// losses ends agents, with their keepers or without, or freezes them for longer than a lease, now
// and then while a coordinator goes as well.
func losses(s *site) {
	if s.rnd.IntN(4) == 0 {
		kills(s)
	}
	s.last(200*time.Millisecond, time.Second)
	a := s.Agents[s.rnd.IntN(len(s.Agents))]
	switch s.rnd.IntN(3) {
	case 0:
		s.rec.Fault("the session of %s is killed", a.Name)
		s.Must(a.Kill())
	case 1:
		s.rec.Fault("%s is killed, and its keeper", a.Name)
		s.Must(s.KillAgent(s.Ctx, a))
	default:
		s.rec.Fault("%s is frozen", a.Name)
		s.Must(a.Signal(syscall.SIGSTOP))
		s.last(shortLease/2, 2*shortLease)
		s.Must(a.Signal(syscall.SIGCONT))
		s.rec.Fault("%s is awake", a.Name)
		return
	}
	s.last(100*time.Millisecond, time.Second)
	s.Must(a.Start())
}

// shortLease is that of fleets whose agents are lost.
const shortLease = 3 * time.Second

// TestR13_HistoriesOfAgents: real processes, agents that are killed and frozen.
func TestR13_HistoriesOfAgents(t *testing.T) {
	again(t, "agents", func(t *testing.T, name string, seed uint64) *history.Verdict {
		s := start(t, seed, fleet.Config{CoordinatorFlags: []string{"--lease", shortLease.String()}})
		s.faults, s.quiet = losses, false
		return s.round(name)
	})
}

// again runs rounds, each with a seed that is told.
func again(t *testing.T, name string, f func(t *testing.T, name string, seed uint64) *history.Verdict) {
	from := *seed
	if from == 0 {
		from = uint64(time.Now().UnixNano())
	}
	var sum history.Verdict
	for i := range uint64(*rounds) {
		name := fmt.Sprintf("%s-%d", name, from+i)
		t.Run(name, func(t *testing.T) { sum.Add(f(t, name, from+i)) })
	}
	t.Logf("%d rounds: %s", *rounds, &sum)
}

// Names of hosts, which live as long as the tests' own network does.
var (
	coordinators, agents = []string{"c1", "c2", "c3"}, []string{"a1", "a2"}
	hosts                = sync.OnceValues(func() (*network.Network, error) {
		return network.New(append(slices.Clone(coordinators), agents...)...)
	})
)

// shapes of cuts; n is one of the coordinators.
var shapes = map[string]func(leader string, n int) []network.Way{
	"the leader alone":         func(leader string, _ int) []network.Way { return network.Between([]string{leader}, others(leader)) },
	"the leader is not heard":  func(leader string, _ int) []network.Way { return network.Ways([]string{leader}, others(leader)) },
	"the leader does not hear": func(leader string, _ int) []network.Way { return network.Ways(others(leader), []string{leader}) },
	"a minority with the agents": func(_ string, n int) []network.Way {
		return network.Between(append([]string{coordinators[n]}, agents...), others(coordinators[n]))
	},
	"an agent alone":          func(_ string, n int) []network.Way { return network.Between(agents[n%2:n%2+1], coordinators) },
	"an agent is not heard":   func(_ string, n int) []network.Way { return network.Ways(agents[n%2:n%2+1], coordinators) },
	"clients hear nobody":     func(string, int) []network.Way { return network.Ways(coordinators, []string{network.Here}) },
	"clients do not hear one": func(_ string, n int) []network.Way { return network.Ways(coordinators[n:n+1], []string{network.Here}) },
	"two do not hear each other": func(_ string, n int) []network.Way {
		return network.Between(coordinators[n:n+1], []string{coordinators[(n+1)%3]})
	},
	"everybody hears in a circle": func(string, int) []network.Way {
		return []network.Way{{From: "c2", To: "c1"}, {From: "c3", To: "c2"}, {From: "c1", To: "c3"}}
	},
}

func others(one string) []string {
	return slices.DeleteFunc(slices.Clone(coordinators), func(c string) bool { return c == one })
}

// cuts makes cuts of every shape, some of them flapping.
func cuts(s *site) {
	s.last(100*time.Millisecond, 700*time.Millisecond)
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	p, _ := s.leader()
	name := names[s.rnd.IntN(len(names))]
	ways := shapes[name](p.Name, s.rnd.IntN(len(coordinators)))
	times, from, to := 1, 500*time.Millisecond, 3*time.Second
	if s.rnd.IntN(3) == 0 {
		times, from, to = 4, 50*time.Millisecond, 400*time.Millisecond
	}
	for range times {
		s.rec.Fault("cut: %s (%s leads)", name, p.Name)
		s.Must(s.net.Cut(ways...))
		s.last(from, to)
		s.Must(s.net.Heal(ways...))
		s.rec.Fault("healed")
		if times > 1 {
			s.last(from, to)
		}
	}
}

// TestR13_HistoriesOfCuts: real processes on hosts of their own, and cuts of
// every shape between them, their agents and their clients.
func TestR13_HistoriesOfCuts(t *testing.T) {
	again(t, "cuts", func(t *testing.T, name string, seed uint64) *history.Verdict {
		net, err := hosts()
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, seed, net.Place(fleet.Config{}))
		s.net, s.faults, s.quiet = net, cuts, false
		return s.round(name)
	})
}
