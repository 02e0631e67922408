package server

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/logstore"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/raftnode"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/trace"
	"backfleet/pkg/wire"
)

// agents serves wire.Agents.
type agents struct {
	wire.UnimplementedAgentsServer
	dispatch *dispatch.Server
	logs     *logstore.Replicator
	received prometheus.Counter // bytes of logs
	refused  prometheus.Counter // pieces of logs
	now      func() time.Time
	traced   func() trace.Cluster
}

func (a *agents) Session(s grpc.BidiStreamingServer[wire.AgentMessage, wire.LeaderMessage]) error {
	if err := s.SendHeader(metadata.Join(wire.Clock(a.now()), a.traced().Header())); err != nil {
		return err
	}
	return a.dispatch.Session(s)
}

func (a *agents) ShipLogs(s grpc.BidiStreamingServer[wire.LogChunk, wire.LogAck]) error {
	return a.logs.ShipLogs(countedLogs{s, a.received, a.refused})
}

// peer serves wire.Peer.
type peer struct {
	wire.UnimplementedPeerServer
	logs     *logstore.Replicator
	node     *raftnode.Node
	log      *measuredLog
	peers    *peers
	standing func() *wire.StandingResponse
	received prometheus.Counter
	refused  prometheus.Counter
	logger   *slog.Logger
	joining  *sync.Mutex // see Server
	// refusedOld is when last it was said that a binary is too old to join; under
	// joining.
	refusedOld time.Time
}

func (p *peer) AppendLogs(s grpc.BidiStreamingServer[wire.LogChunk, wire.LogAck]) error {
	return p.logs.AppendLogs(countedLogs{s, p.received, p.refused})
}

func (p *peer) ReadLog(r *wire.ReadLogRequest, s grpc.ServerStreamingServer[wire.LogChunk]) error {
	return p.logs.ReadLog(r, s)
}

// Join makes the caller a member, or passes the request to the leader once.
func (p *peer) Join(ctx context.Context, r *wire.JoinRequest) (*wire.JoinResponse, error) {
	v := r.GetServer()
	if v.GetId() == "" || v.RaftAddress == "" || v.RpcAddress == "" || v.HttpAddress == "" {
		return nil, status.Error(codes.InvalidArgument, "expected the id and the three addresses of the coordinator that joins")
	}
	v.ProtoReflect().SetUnknown(nil) // of a newer binary: the log must hold what every coordinator knows
	if err := p.stranger(r.Generation); err != nil && !r.Fresh {
		return nil, err
	}
	if !p.node.IsLeader() {
		leader, err := p.leader(r.Forwarded)
		if err != nil {
			return nil, err
		}
		r.Forwarded = true
		return leader.Join(ctx, r)
	}
	if r.Folder != "" {
		v.Folder = r.Folder
	}
	p.joining.Lock() // nobody joins while newer rules are put in force
	defer p.joining.Unlock()
	if err := p.outdated(ctx, r); err != nil {
		return nil, err
	}
	if err := p.admissible(r); err != nil {
		return nil, err
	}
	if err := p.node.AddServer(ctx, v.Id, v.RaftAddress); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	if _, _, err := p.log.Propose(ctx, &wire.Command{Actor: v.Id, Body: &wire.Command_PutServer{PutServer: v}}); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	out := &wire.JoinResponse{Generation: p.node.Generation()}
	p.log.State().Servers(func(s *wire.PutServer) { out.Servers = append(out.Servers, s) })
	return out, nil
}

// ReadIndex answers for the leader.
func (p *peer) ReadIndex(ctx context.Context, _ *wire.ReadIndexRequest) (*wire.ReadIndexResponse, error) {
	index, err := p.node.ReadIndex(ctx)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return &wire.ReadIndexResponse{Index: index}, nil
}

// leader is to be asked instead, once.
func (p *peer) leader(forwarded bool) (wire.PeerClient, error) {
	id, _ := p.node.Leader()
	s, ok := p.log.State().Server(id)
	if forwarded || !ok {
		return nil, status.Error(codes.Unavailable, "there is no leader now: try again")
	}
	return p.peers.dial(s.Id, s.RpcAddress)
}

// peers keeps one connection to each other coordinator.
type peers struct {
	self    string
	node    *raftnode.Node
	machine *machine.Machine
	options []grpc.DialOption
	secure  *mtls.Material

	mu    sync.Mutex
	conns map[string]*conn
}

type conn struct {
	address string
	grpc    *grpc.ClientConn
	client  wire.PeerClient
}

// live implements logstore.Peers. How many there are, the cluster's
// configuration says too, which is on disk: the facts of a coordinator that has
// just started are those of its last snapshot, or none, until it has heard from the
// leader, and it must not take itself for a majority meanwhile.
func (p *peers) live() ([]logstore.Peer, int) {
	var out []logstore.Peer
	size := 0
	p.machine.State().Servers(func(s *wire.PutServer) {
		size++
		if s.Id == p.self {
			return
		}
		if client, err := p.dial(s.Id, s.RpcAddress); err == nil {
			out = append(out, logstore.Peer{ID: s.Id, Client: client})
		}
	})
	members, err := p.node.Servers()
	if size = max(size, len(members)); err != nil || size == 0 {
		size = max(size, 2) // it is no member yet, so there is at least one other
	}
	return out, size
}

// dial gives the client of a coordinator; the same one while its address is.
func (p *peers) dial(id, address string) (wire.PeerClient, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.conns[id]; c != nil {
		if c.address == address {
			return c.client, nil
		}
		_ = c.grpc.Close()
	}
	cc, err := dial(id, address, p.secure, p.options)
	if err != nil {
		return nil, err
	}
	c := &conn{address, cc, wire.NewPeerClient(cc)}
	p.conns[id] = c
	return c.client, nil
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.grpc.Close()
	}
	clear(p.conns)
}

// dial connects to the coordinator with this id, or when it is empty, to any.
func dial(id, address string, secure *mtls.Material, more []grpc.DialOption) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if secure != nil {
		transport = secure.Credentials(id)
	}
	return grpc.NewClient("passthrough:///"+address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second, Backoff: quickBackoff}),
	}, more...)...)
}

// maxMessage bounds one message of the protocol; a turn's work for one agent,
// with definitions of code, stays far below.
const maxMessage = 64 << 20

// newRPC makes the gRPC server. With TLS, what coordinators say to each other
// takes a coordinator's certificate; without it, an admin's secret of the token
// file, if people have to show any. Agents have a gate of their own.
func newRPC(secure *mtls.Material, agents *gate, logger *slog.Logger) *grpc.Server {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 5 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
	if secure != nil {
		options = append(options, grpc.Creds(secure.ServerCredentials(logger)))
	}
	check := func(ctx context.Context, method string) error {
		switch {
		case secure != nil && strings.HasPrefix(method, "/"+wire.Peer_ServiceDesc.ServiceName+"/"):
			return coordinatorsOnly(ctx, method)
		case agents.closed && !slices.ContainsFunc(shown(ctx), agents.file.admits):
			return status.Error(codes.Unauthenticated, "without TLS, coordinators know each other by the secret of an admin in "+mtls.FlagToken+": give all of them the same file")
		}
		return nil
	}
	options = append(options,
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := check(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if strings.HasPrefix(info.FullMethod, "/"+wire.Agents_ServiceDesc.ServiceName+"/") {
				who, err := agents.enter(s.Context())
				if err != nil {
					return err
				}
				return next(srv, guarded{s, who})
			}
			if err := check(s.Context(), info.FullMethod); err != nil {
				return err
			}
			return next(srv, s)
		}))
	return grpc.NewServer(options...)
}

// coordinatorsOnly lets in who came with a coordinator's certificate. Agents'
// are of the same authority, so that the connection alone proves nothing.
func coordinatorsOnly(ctx context.Context, method string) error {
	if cert := certificate(ctx); cert != nil && mtls.IsCoordinator(cert) {
		return nil
	}
	return status.Errorf(codes.PermissionDenied, "%s is for coordinators: expected a certificate with a name %s", method, mtls.CoordinatorName("ID"))
}

// join asks the given coordinators to make this one a member until one does, or
// refuses it for good.
func join(ctx context.Context, addresses []string, r *wire.JoinRequest, secure *mtls.Material, options []grpc.DialOption, logger *slog.Logger) (*wire.JoinResponse, error) {
	var said string
	for i := 0; ; i++ {
		answer, err := joinVia(ctx, addresses[i%len(addresses)], r, secure, options)
		if err == nil || status.Code(err) == forGood {
			return answer, err
		}
		if text := status.Convert(err).Message(); text != said && ctx.Err() == nil {
			said = text
			logger.Warn("not taken in yet; trying again", "address", addresses[i%len(addresses)], "reason", text)
		}
		select {
		case <-ctx.Done():
			return nil, fault.Wrap(err, fault.Unavailable, "no coordinator of %s took this one in", strings.Join(addresses, ", "))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func joinVia(ctx context.Context, address string, r *wire.JoinRequest, secure *mtls.Material, options []grpc.DialOption) (*wire.JoinResponse, error) {
	cc, err := dial("", address, secure, options)
	if err != nil {
		return nil, err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return wire.NewPeerClient(cc).Join(ctx, r)
}
