package server

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/protobuf/proto"

	"backfleet/api/login"
	api "backfleet/api/server"
	"backfleet/api/web"
	"backfleet/coordinator/cycle"
	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/logstore"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/service"
	"backfleet/coordinator/spans"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/presence"
	"backfleet/pkg/wire"
)

// quickBackoff finds a coordinator again soon after it restarted.
var quickBackoff = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}

// Server is a running coordinator.
type Server struct {
	cfg     Config
	self    *wire.PutServer
	secure  *mtls.Material
	tokens  *tokenFile      // nil: there is none
	login   *login.Provider // nil: likewise
	folder  *raftnode.Folder
	logs    *logstore.Store
	copies  *logstore.Replicator
	reader  *logstore.Reader
	machine *machine.Machine
	node    *raftnode.Node
	log     *measuredLog
	metrics *metrics
	tracer  *spans.Tracer   // nil: nothing is traced
	spans   *spans.Exporter // likewise
	peers   *peers
	rpc     *grpc.Server
	agents  *dispatch.Server
	service *service.Service
	// caughtUp: see clusterLog.WaitIndex.
	caughtUp  atomic.Bool
	api       *api.Server
	announced chan presence.Member              // newest of what others should know of this one
	living    atomic.Pointer[[]presence.Member] // agents in the directory; nil: not known
	ledUntil  atomic.Int64                      // when this one last ceased to lead, in Unix milliseconds; 0: it never led
	// handedOver is when the disk was last found full; of the leader's scope.
	handedOver time.Time
	stopping   atomic.Bool
	refused    atomic.Bool                   // the cluster did not take this coordinator in
	failed     chan struct{}                 // closed when it cannot go on
	joining    sync.Mutex                    // held while a coordinator joins, and while newer rules are put in force
	stops      []func(context.Context) error // in the order of starting
}

// Start begins a coordinator. Everything it has begun is ended again when it
// fails.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, announced: make(chan presence.Member, 1), failed: make(chan struct{})}
	if err := s.start(ctx); err != nil {
		_ = s.Stop(ctx)
		return nil, err
	}
	return s, nil
}

// HTTPAddress, RPCAddress are what others dial.
func (s *Server) HTTPAddress() string { return s.self.HttpAddress }

// RPCAddress is what agents and joining coordinators dial.
func (s *Server) RPCAddress() string { return s.self.RpcAddress }

// Failed is closed when the coordinator cannot go on; Err then says why.
// One that was removed from the cluster while it ran stays, and says so when it is
// asked (/readyz).
func (s *Server) Failed() <-chan struct{} { return s.failed }

func (s *Server) watchFailure(ctx context.Context) {
	select {
	case <-s.node.Failed():
		if !s.node.Retired() || s.refused.Load() {
			close(s.failed)
		}
	case <-ctx.Done():
	}
}

// Err is why Failed is closed.
func (s *Server) Err() error { return s.node.Err() }

func (s *Server) onStop(f func(context.Context) error) { s.stops = append(s.stops, f) }

func (s *Server) start(ctx context.Context) (err error) {
	if s.tokens, err = s.cfg.openTokens(); err != nil {
		return err
	}
	if s.cfg.OIDC.Configured() {
		if s.login, err = login.New(s.cfg.OIDC, s.cfg.Now); err != nil {
			return err
		}
	}
	if s.cfg.TLS.Configured() {
		if s.secure, err = mtls.Load(s.cfg.TLS); err != nil {
			return err
		}
		if err := s.secure.RequireCoordinator(s.cfg.ID); err != nil {
			return err
		}
	}
	if s.folder, err = raftnode.Claim(s.cfg.DataDir, s.cfg.ID); err != nil {
		return err
	}
	s.onStop(func(context.Context) error { s.folder.Close(); return nil })
	httpListener, rpcListener, err := s.listen()
	if err != nil {
		return err
	}
	if s.logs, err = logstore.Open(filepath.Join(s.cfg.DataDir, "logs"), logstore.Options{Logger: s.cfg.Logger, Now: s.cfg.Now}); err != nil {
		return err
	}
	s.onStop(func(context.Context) error { return s.logs.Close() })
	s.machine = machine.New()
	if err := s.openNode(ctx); err != nil {
		return err
	}
	s.self = &wire.PutServer{
		Id: s.cfg.ID, RaftAddress: s.node.Address(), RpcAddress: s.cfg.advertised(rpcListener.Addr()),
		HttpAddress: s.scheme() + s.cfg.advertised(httpListener.Addr()), Version: s.cfg.Version,
		Folder: s.folder.Name(),
	}
	options := []grpc.DialOption{}
	if s.tokens != nil && s.secure == nil {
		options = append(options, grpc.WithPerRPCCredentials(s.tokens))
	}
	s.serveRPC(rpcListener, options)
	if err := s.serveAPI(httpListener); err != nil {
		return err
	}
	s.serve(options)
	s.cfg.Logger.Info("coordinator started", "coordinator", s.cfg.ID, "http", s.self.HttpAddress, "rpc", s.self.RpcAddress, "raft", s.self.RaftAddress)
	return nil
}

// serve begins what lasts until the end: leading, joining, being announced,
// clearing logs.
func (s *Server) serve(options []grpc.DialOption) {
	scope, cancel := context.WithCancel(context.Background())
	var beside sync.WaitGroup // what must have ended before the rest does
	go s.node.Lead(scope, s.lead)
	go s.node.WatchLeader(scope, s.leaderChanged)
	beside.Go(func() { s.metrics.watch.Run(scope) })
	if s.tracer != nil {
		beside.Go(func() { s.tracer.Run(scope) })
		beside.Go(func() { s.spans.Run(scope) })
	}
	if len(s.cfg.Join) > 0 {
		beside.Go(func() { s.enroll(scope, options) })
	}
	beside.Go(func() { s.catchUp(scope) })
	beside.Go(func() { s.watchMembership(scope) })
	beside.Go(func() { s.tellSpace(scope) })
	beside.Go(func() { s.watchFailure(scope) })
	s.bePresent(scope, &beside)
	if s.secure != nil {
		beside.Go(func() { s.secure.Watch(scope, s.cfg.Logger) })
	}
	sweeper, filler := s.sweeper(), s.filler()
	beside.Go(func() { sweeper.Run(scope) })
	beside.Go(func() { filler.Run(scope) })
	s.onStop(func(ctx context.Context) error {
		if s.node.IsLeader() {
			// Hand over before anything else ends: agents then have somewhere to
			// go. Alone, there is nobody, and that is no failure.
			_ = s.node.TransferLeadership(ctx, "")
		}
		cancel()
		beside.Wait() // a goodbye, which the announcer bounds; clearing and fetching end between two logs
		return nil
	})
}

func (s *Server) listen() (httpListener, rpcListener net.Listener, err error) {
	if httpListener, err = net.Listen("tcp", s.cfg.HTTP); err != nil {
		return nil, nil, listenError("http", s.cfg.HTTP, err)
	}
	s.onStop(func(context.Context) error { _ = httpListener.Close(); return nil })
	if rpcListener, err = net.Listen("tcp", s.cfg.RPC); err != nil {
		return nil, nil, listenError("rpc", s.cfg.RPC, err)
	}
	s.onStop(func(context.Context) error { _ = rpcListener.Close(); return nil })
	return httpListener, rpcListener, nil
}

func (s *Server) openNode(ctx context.Context) (err error) {
	advertise := ""
	if s.cfg.AdvertiseHost != "" {
		_, port, _ := net.SplitHostPort(s.cfg.Raft)
		advertise = net.JoinHostPort(s.cfg.AdvertiseHost, port)
	}
	if s.cfg.Bootstrap {
		if err := s.folder.Found(wire.FirstGeneration(rand.Uint32())); err != nil {
			return err
		}
	}
	s.metrics = newMetrics(s)
	s.metrics.registry.MustRegister(rules{s})
	facts, err := s.openTraces(ctx)
	if err != nil {
		return err
	}
	s.node, err = raftnode.Open(raftnode.Config{
		ID: s.cfg.ID, Folder: s.folder, Listen: s.cfg.Raft, Advertise: advertise, Bootstrap: s.cfg.Bootstrap, AwaitAdmission: true,
		TLS: s.secure, Profile: s.cfg.Profile, Compaction: s.cfg.Compaction, FSM: facts, Logger: s.cfg.Logger,
	})
	if err != nil {
		return err
	}
	s.onStop(s.node.Stop)
	s.log = &measuredLog{machine.NewLog(s.node, s.machine, s.cfg.Now), s.metrics}
	return nil
}

func (s *Server) serveRPC(l net.Listener, options []grpc.DialOption) {
	s.peers = &peers{self: s.cfg.ID, node: s.node, machine: s.machine, options: options, secure: s.secure, conns: map[string]*conn{}}
	s.copies = logstore.NewReplicator(s.logs, s.peers.live, logstore.ReplicatorOptions{Logger: s.cfg.Logger})
	s.copies.Start()
	s.agents = dispatch.New(dispatch.Config{
		Log: s.log, Facts: s.machine, Terms: s.cfg.Terms, Sched: s.cfg.Settings.scheduler(), Now: s.cfg.Now, Logger: s.cfg.Logger,
		Leader: func() string { v, _ := s.leader(); return v.GetRpcAddress() }, Watch: s.metrics.watch,
	})
	s.rpc = newRPC(s.secure, &gate{closed: s.cfg.closed(), file: s.tokens, state: s.machine.State, reach: s.node.WaitIndex, now: s.cfg.Now, era: s.node.Generation}, s.cfg.Logger)
	wire.RegisterAgentsServer(s.rpc, &agents{dispatch: s.agents, logs: s.copies, received: s.metrics.logBytes.WithLabelValues("agent"), refused: s.metrics.keeping.refused.WithLabelValues("agent"), now: s.cfg.Now, traced: s.traced})
	wire.RegisterPeerServer(s.rpc, &peer{
		logs: s.copies, node: s.node, log: s.log, peers: s.peers, standing: s.ownStanding, received: s.metrics.logBytes.WithLabelValues("coordinator"),
		refused: s.metrics.keeping.refused.WithLabelValues("coordinator"),
		joining: &s.joining, logger: s.cfg.Logger,
	})
	go func() {
		if err := s.rpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			s.cfg.Logger.Error("the rpc server ended", "error", err)
		}
	}()
	s.onStop(func(context.Context) error {
		s.copies.Stop()
		s.rpc.Stop()
		s.peers.close()
		return nil
	})
}

func (s *Server) serveAPI(l net.Listener) error {
	page, err := web.Handler()
	if err != nil {
		return err
	}
	s.reader = logstore.NewReader(s.logs, s.peers.live, s.cfg.Logger)
	s.service = service.New(service.Config{
		Submitted: s.submitted(),
		Machine:   s.machine, Log: clusterLog{s}, Logs: measuredReads{s.reader, s.metrics.keeping.read},
		Settings: s.cfg.Settings.scheduler(), MaxGroups: int32(s.cfg.Settings.MaxGroups),
		Inspect: s.agents.Inspect, Seen: s.seen, Standings: s.standings, Zone: s.cfg.Zone, Now: s.cfg.Now, Logger: s.cfg.Logger, Version: s.cfg.Version, ServerID: s.cfg.ID, Name: cmp.Or(s.cfg.Cluster, "backfleet"),
	})
	s.service.Start()
	s.onStop(func(context.Context) error { s.service.Stop(); return nil })
	options := api.Options{
		Backend: s.service, Logger: s.cfg.Logger, Metrics: s.metrics.handler(), Answered: s.metrics.answered, Profiles: s.cfg.Profiles, Login: s.login, Rates: s.cfg.Rates, Page: page,
		OnlyLoopback: !s.cfg.closed() && !s.cfg.AllowInsecure, Cluster: s.cfg.Cluster, SessionTime: time.Duration(s.cfg.SessionHours) * time.Hour,
	}
	if s.tokens != nil {
		options.Tokens = s.tokens.now
	}
	if s.secure != nil {
		options.Transport = &http.Transport{DialTLSContext: s.secure.DialTLS, ForceAttemptHTTP2: true}
		l = secureListener(l, s.secure, s.cfg.CertifyClients)
	}
	s.api = api.New(options)
	if err := s.api.Start(l); err != nil {
		return err
	}
	s.onStop(s.api.Stop)
	return nil
}

// lead is what runs while this coordinator leads.
func (s *Server) lead(ctx context.Context, term uint64) {
	s.cfg.Logger.Info("leading", "term", term)
	if known, ok := s.machine.State().Server(s.self.Id); !ok || !proto.Equal(known, s.self) {
		cmd := &wire.Command{Actor: s.self.Id, Body: &wire.Command_PutServer{PutServer: s.self}}
		if _, _, err := s.log.Propose(ctx, cmd); err != nil {
			s.cfg.Logger.Warn("the own addresses could not be made known", "error", err)
		}
	}
	s.announceLead(term)
	defer s.announceLead(0)
	defer func() { s.ledUntil.Store(s.cfg.Now().UnixMilli()) }()
	changed := make(chan struct{}, 1)
	days := cycle.New(cycle.Config{
		Settings: s.cfg.Settings.cycle(s.cfg.Zone), Log: clusterLog{s}, State: s.machine.State, Changed: changed, Now: s.cfg.Now,
		Generated: s.metrics.generated, Expired: s.metrics.expired, Logger: s.cfg.Logger,
	})
	var beside sync.WaitGroup
	beside.Go(func() { s.watchSpace(ctx) })
	beside.Go(func() { s.upgradeRules(ctx) })
	beside.Go(func() { s.watchFacts(ctx, state.NodesChanged, changed) })
	beside.Go(func() { days.Lead(ctx) })
	if s.tracer != nil {
		beside.Go(func() { s.tracer.Lead(ctx, term, s.formerLeader()) })
	}
	beside.Go(func() { s.tell(ctx) })
	s.agents.Lead(ctx)
	beside.Wait()
}

// leaderChanged is told who leads.
func (s *Server) leaderChanged(id string) {
	s.metrics.changes.Inc()
	s.service.LeaderChanged(id)
}

// formerLeader is when a leader before this one was last there, as far as is known
// here.
func (s *Server) formerLeader() time.Time {
	last := s.node.HeardOfLeader()
	if led := s.ledUntil.Load(); led > 0 && last.Before(time.UnixMilli(led)) {
		return time.UnixMilli(led)
	}
	return last
}

// watchFacts tells when facts of a kind have changed.
func (s *Server) watchFacts(ctx context.Context, kind state.ChangeKind, changed chan<- struct{}) {
	feed, _ := s.machine.Follow()
	defer feed.Close()
	is := func(c state.Change) bool { return c.Kind == kind }
	for {
		select {
		case <-ctx.Done():
			return
		case <-feed.Ready():
		}
		for _, a := range feed.Take() {
			if !a.Reset && !slices.ContainsFunc(a.Changes, is) {
				continue
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
}

// leader finds the addresses of who leads.
func (s *Server) leader() (*wire.PutServer, bool) {
	id, _ := s.node.Leader()
	if id == s.cfg.ID {
		return s.self, true
	}
	return s.machine.State().Server(id)
}

// readIndex asks the leader, wherever it is.
func (s *Server) readIndex(ctx context.Context) (uint64, error) {
	if s.node.IsLeader() {
		return s.node.ReadIndex(ctx)
	}
	leader, ok := s.leader()
	if !ok {
		return 0, fault.New(fault.Unavailable, "there is no leader now: try again")
	}
	client, err := s.peers.dial(leader.Id, leader.RpcAddress)
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "the leader %s cannot be reached", leader.Id)
	}
	out, err := client.ReadIndex(ctx, &wire.ReadIndexRequest{})
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "the leader %s did not answer", leader.Id)
	}
	return out.Index, nil
}

// Stop ends the coordinator: it says that it is not ready any more, what began last
// ends first, leadership is handed over, and stores close when nothing writes any
// more. Twice is fine.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StopTimeout)
	defer cancel()
	var errs []error
	for len(s.stops) > 0 {
		last := len(s.stops) - 1
		f := s.stops[last]
		s.stops = s.stops[:last]
		errs = append(errs, f(ctx))
	}
	return errors.Join(errs...)
}
