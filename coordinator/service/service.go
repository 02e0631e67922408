// Package service answers the HTTP API from the facts: it implements
// server.Backend. Reads are taken from one immutable State per request; writes
// are proposed to the log and answered from what became of them.
package service

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"backfleet/api/server"
	"backfleet/coordinator/logstore"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
	"backfleet/pkg/wire"
)

// Log is what the service needs of the replicated log.
type Log interface {
	// Propose makes a command a fact; on return this coordinator's State has
	// it. err is the state machine's refusal or the log's failure.
	Propose(ctx context.Context, c *wire.Command) (index uint64, r *state.Result, err error)
	// AppliedIndex, WaitIndex and ReadIndex are as in server.Position.
	AppliedIndex() uint64
	WaitIndex(ctx context.Context, index uint64) error
	ReadIndex(ctx context.Context) (uint64, error)
	// Leader names the leader, empty without one; self: this coordinator leads
	// and its leadership is established.
	Leader() (id string, self bool)
	// TransferLeadership hands leadership to a server, empty: the most up to
	// date; it returns when this one no longer leads.
	TransferLeadership(ctx context.Context, to string) error
	// RemoveServer takes a coordinator out of the cluster; fault.NotFound: it is no
	// member. The leader hands leadership over and answers fault.Unavailable.
	RemoveServer(ctx context.Context, id string, force bool) error
	// Standing is a moment's figures of the log. It must not wait.
	Standing() Standing
}

// Standing says where a coordinator stands in the log.
type Standing struct {
	Term, Commit, Snapshot uint64 // Snapshot: index of the last one, 0: none
	Generation             uint64 // of the cluster, see wire.Newer
	Members                []Member
	Err                    error // why the log does not work here, nil when it does
	CaughtUp               bool  // all is known here that the leader knew at some moment since the start
	Stopping               bool
}

// Told is what a coordinator says of its own log and disk, or why it said nothing.
type Told struct {
	*wire.StandingResponse
	Err error
}

// Member is a coordinator in the log's configuration.
type Member struct {
	ID, RaftAddress string
	Voter           bool
}

// Logs reads attempts' logs.
type Logs interface {
	// Read gives up to maximum (> 0) bytes; ended: next is the log's end. They
	// begin at the offset, or further on where what is between was cleared.
	Read(ctx context.Context, key logstore.Key, offset uint64, maximum int) (data []byte, next uint64, ended bool, err error)
	// Size is how far the log is known to go, what was cleared of it counted, and
	// whether it ends there; 0 and false for a log of which nothing is kept. With
	// ask the other coordinators are asked unless the end is known here.
	Size(ctx context.Context, key logstore.Key, ask bool) (size uint64, ended bool, err error)
	// Follow calls fn with the bytes from an offset on, and where they begin,
	// until the log has ended (nil), ctx ends or fn fails (its error). The bytes
	// are fn's to keep.
	Follow(ctx context.Context, key logstore.Key, offset uint64, fn func(from uint64, data []byte) error) error
}

// Config says what a Service works with. Machine, Log, Logs, Inspect and
// ServerID are required.
type Config struct {
	Machine *machine.Machine
	Log     Log
	Logs    Logs
	// Inspect runs a function on the leader's scheduler, which the function
	// must not keep; fault.Unavailable when this coordinator does not lead.
	Inspect func(ctx context.Context, look func(*schedule.Scheduler)) error
	// Seen tells of the agents that this coordinator has heard of since it leads;
	// fault.Unavailable when it does not. Default: it never leads.
	Seen func(ctx context.Context) (map[string]Seen, error)
	// Standings asks coordinators, by id, what they say of their logs and disks, this
	// one too; it returns soon, with an error for each that did not answer. Default:
	// nobody can be asked.
	Standings func(ctx context.Context, ids []string) map[string]Told
	// Settings of the scheduler; what is 0 has its default there.
	Settings schedule.Settings
	// MaxGroups is the setting limits.groups (RULES R4.1); 0: 10.
	MaxGroups int32
	Zone      string                                    // the cluster's time zone; default UTC
	LoadZone  func(name string) (*time.Location, error) // default time.LoadLocation
	Now       func() time.Time                          // default time.Now
	Logger    *slog.Logger                              // default: none
	Version   string                                    // of this binary
	ServerID  string                                    // of this coordinator
	Name      string                                    // what the cluster is called, for backups
	// Submitted is told of each backfill that was accepted for a request: the header
	// traceparent that came with it, and when that began. It must not wait. Default:
	// nobody.
	Submitted func(planID uint64, traceparent string, began time.Time)
}

// Service implements server.Backend on one coordinator. Its methods may be
// called from many goroutines; Start must be called before Events and
// FollowLog.
type Service struct {
	Config
	hub         *hub
	rates       *rates
	forecasting chan struct{} // holds one element while a forecast runs
	ordered     atomic.Pointer[ordered]
	maps        drawn

	mu      sync.Mutex
	cancel  context.CancelFunc // nil: not running
	running sync.WaitGroup
}

var _ server.Backend = (*Service)(nil)

// New makes a service; Start makes it follow the facts.
func New(cfg Config) *Service {
	cfg.Zone = cmp.Or(cfg.Zone, "UTC")
	cfg.Settings.Yields = cmp.Or(cfg.Settings.Yields, 3)
	if cfg.Seen == nil {
		cfg.Seen = func(context.Context) (map[string]Seen, error) {
			return nil, fault.New(fault.Unavailable, "this coordinator does not lead")
		}
	}
	if cfg.Standings == nil {
		cfg.Standings = func(context.Context, []string) map[string]Told { return nil }
	}
	if cfg.LoadZone == nil {
		cfg.LoadZone = time.LoadLocation
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = obs.Discard()
	}
	return &Service{Config: cfg, hub: newHub(), rates: newRates(), forecasting: make(chan struct{}, 1)}
}

// Start follows the facts until Stop, for events and rates. A second call
// while it runs does nothing.
func (s *Service) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	feed, st := s.Machine.Follow()
	s.hub.begin(st)
	s.running.Go(func() {
		defer feed.Close()
		s.follow(ctx, feed)
	})
}

// Stop ends what Start began and returns when it has ended. It may be called
// twice. Streams of events end with fault.Unavailable.
func (s *Service) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.running.Wait()
	s.cancel = nil
	s.hub.end()
}

func (s *Service) follow(ctx context.Context, feed *machine.Feed) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-feed.Ready():
		}
		for _, a := range feed.Take() {
			s.rates.observe(a.Changes, s.Now())
			s.hub.observe(a)
		}
	}
}

// LeaderChanged tells the followers of events who leads now; empty: nobody.
func (s *Service) LeaderChanged(id string) { s.hub.leader(id, s.Now()) }

// AppliedIndex implements server.Position.
func (s *Service) AppliedIndex() uint64 { return s.Log.AppliedIndex() }

// WaitIndex implements server.Position.
func (s *Service) WaitIndex(ctx context.Context, index uint64) error {
	return s.Log.WaitIndex(ctx, index)
}

// ReadIndex implements server.Position.
func (s *Service) ReadIndex(ctx context.Context) (uint64, error) { return s.Log.ReadIndex(ctx) }

// Leader implements server.Position.
func (s *Service) Leader() server.Leader {
	id, self := s.Log.Leader()
	l := server.Leader{Self: self}
	if v, ok := s.Machine.State().Server(id); ok && v.HttpAddress != "" {
		l.HTTPAddress = v.HttpAddress
		if !strings.Contains(l.HTTPAddress, "://") {
			l.HTTPAddress = "http://" + l.HTTPAddress
		}
	}
	return l
}

// Checks implements server.Position: a coordinator can serve when it is to stay,
// its log works, it knows a leader, and its facts are no older than its process.
func (s *Service) Checks() []server.Check {
	at := s.Log.Standing()
	id, _ := s.Log.Leader()
	unless := func(holds bool, why string) error {
		if holds {
			return nil
		}
		return fault.New(fault.Unavailable, "%s", why)
	}
	return []server.Check{
		{Name: "staying", Err: unless(!at.Stopping, "this coordinator is stopping: go on at another")},
		{Name: "log", Err: at.Err},
		{Name: "leader", Err: unless(id != "", "no leader is known: expected a majority of the coordinators to be up and to reach each other")},
		{Name: "facts", Err: unless(at.CaughtUp, "what happened before this coordinator started is not all known here yet: it is catching up with the leader")},
	}
}

// today is the calendar date in the cluster's zone.
func (s *Service) today() (calendar.Date, error) {
	loc, err := s.LoadZone(s.Zone)
	if err != nil {
		return 0, fault.Wrap(err, fault.Internal, "the cluster's time zone %q cannot be loaded", s.Zone)
	}
	y, m, d := s.Now().In(loc).Date()
	return calendar.DateOf(y, m, d), nil
}

// reading is one request's look at the facts: one State, one moment, and a
// bound on the work.
type reading struct {
	st      *state.State
	nowMs   int64
	left    int  // instances that may still be asked what they wait for
	cut     bool // one was not asked, because none was left
	glances int  // instances whose status may still be read
}

// What one request may do: lookAtMost instances are asked what they wait for,
// about a microsecond each, and of glanceAtMost the status is read, a few
// nanoseconds each.
const (
	lookAtMost   = 50_000
	glanceAtMost = 2_000_000
)

func (s *Service) read() *reading {
	return &reading{st: s.Machine.State(), nowMs: s.Now().UnixMilli(), left: lookAtMost, glances: glanceAtMost}
}

// spend takes one look; false when there is none left.
func (r *reading) spend() bool {
	if r.left <= 0 {
		r.cut = true
		return false
	}
	r.left--
	return true
}

// glance takes one glance; false when there is none left.
func (r *reading) glance() bool {
	if r.glances <= 0 {
		return false
	}
	r.glances--
	return true
}

func (r *reading) plan(id uint64) (*state.Plan, error) {
	if p, ok := r.st.Plan(id); ok {
		return p, nil
	}
	return nil, fault.New(fault.NotFound, "there is no backfill b%d", id)
}
