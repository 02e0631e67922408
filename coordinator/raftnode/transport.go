package raftnode

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/obs/bridge"

	"github.com/hashicorp/raft"
)

const (
	transportTimeout = 10 * time.Second
	handshakeTimeout = 5 * time.Second
	pooledConns      = 3
)

// openTransport gives the injected transport, or listens on TCP.
func openTransport(cfg Config, pass *passport, logger *slog.Logger) (*peers, error) {
	p := &peers{Transport: cfg.Transport, seen: map[raft.ServerID]contact{}, doubt: map[raft.ServerID]bool{}, pipelines: map[raft.ServerID]*pipeline{}, behind: map[raft.ServerID]uint64{}}
	if p.Transport != nil {
		if _, ok := p.Transport.(raft.WithPreVote); !ok {
			return nil, fault.New(fault.Invalid, "transport %T has no pre-vote; a returning coordinator would depose the leader", p.Transport)
		}
		return p, nil
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "raft address %s: cannot be listened on", cfg.Listen)
	}
	advertise := cfg.Advertise
	if advertise == "" {
		advertise = listener.Addr().String()
	}
	host, _, err := net.SplitHostPort(advertise)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		_ = listener.Close()
		return nil, fault.New(fault.Invalid, "raft address %s: other coordinators cannot dial it; name the host they shall dial with --advertise-host", advertise)
	}
	layer := &streams{Listener: listener, advertise: advertise, material: cfg.TLS, pass: pass}
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:                  layer,
		MaxPool:                 pooledConns,
		MaxRPCsInFlight:         raft.DefaultMaxRPCsInFlight,
		Timeout:                 transportTimeout,
		Logger:                  bridge.HCLog(logger, "raft-net"),
		MsgpackUseNewTimeFormat: true,
	})
	p.Transport, p.layer = network, layer
	return p, nil
}

// streams is TCP, with TLS on top when material is given. Both sides prove
// that they are coordinators, and the dialed one which coordinator it is.
type streams struct {
	net.Listener
	advertise string
	material  *mtls.Material
	expected  sync.Map // dialed address → coordinator id
	pass      *passport
}

type advertised string

func (advertised) Network() string  { return "tcp" }
func (a advertised) String() string { return string(a) }

// Addr gives the address other coordinators know this one by.
func (s *streams) Addr() net.Addr { return advertised(s.advertise) }

// Accept wraps connections; the handshake happens at the first read, in the
// connection's own goroutine, so that a silent peer holds up nobody.
func (s *streams) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if s.material == nil {
		return &greeted{Conn: conn, pass: s.pass}, nil
	}
	config := s.material.Server()
	choose := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := choose(hello)
		if err == nil {
			chosen.NextProtos = nil
			chosen.VerifyConnection = onlyCoordinators
		}
		return chosen, err
	}
	config.NextProtos = nil
	return &greeted{Conn: &lazyTLS{Conn: tls.Server(conn, config)}, pass: s.pass}, nil
}

func onlyCoordinators(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 || !mtls.IsCoordinator(state.PeerCertificates[0]) {
		return errors.New("the client's certificate is not a coordinator's: it has no name ID.coordinator.backfleet")
	}
	return nil
}

// lazyTLS bounds the handshake that the first read makes.
type lazyTLS struct {
	*tls.Conn
	once sync.Once
	err  error
}

func (c *lazyTLS) Read(p []byte) (int, error) {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
		defer cancel()
		c.err = c.HandshakeContext(ctx)
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// Dial connects to the coordinator at an address, and shows it the generation.
func (s *streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	conn, err := s.dial(address, timeout)
	if err != nil {
		return nil, err
	}
	if err := s.pass.show(conn); err != nil {
		_ = conn.Close()
		return nil, fault.Wrap(err, fault.Denied, "%s does not take this coordinator for one of its cluster", address)
	}
	return conn, nil
}

func (s *streams) dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", string(address))
	if err != nil || s.material == nil {
		return conn, err
	}
	id, ok := s.expected.Load(address)
	if !ok {
		_ = conn.Close()
		return nil, errors.New("no coordinator is known at " + string(address))
	}
	secure := tls.Client(conn, s.material.Client(mtls.CoordinatorName(id.(string))))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		var name x509.HostnameError
		if errors.As(err, &name) {
			return nil, fault.Wrap(err, fault.Unauthenticated, "%s is not coordinator %s: its certificate names %s", address, id, strings.Join(name.Certificate.DNSNames, ", "))
		}
		return nil, err
	}
	return secure, nil
}

// peers is a transport that knows whom it talks to: it tells the streams which
// coordinator an address should be before it is dialed, and notes how far the
// log of each follower reaches, which raft keeps to itself.
type peers struct {
	raft.Transport
	layer *streams // nil when the transport was injected

	mu        sync.Mutex
	seen      map[raft.ServerID]contact
	doubt     map[raft.ServerID]bool // who did not answer: it may have begun anew
	pipelines map[raft.ServerID]*pipeline
	behind    map[raft.ServerID]uint64 // who gets a snapshot: the entry with which it has caught up
	lastLog   func() uint64            // where the own log ends

	own atomic.Pointer[raft.Raft] // nil until it has begun
}

var errNewTerm = errors.New("a term begins with an entry, not with a heartbeat: it is awaited")

// SetHeartbeatHandler keeps heartbeats of a newer term from raft, which handles them beside its
// main loop: a leader that stood still would go on with what it was about to write under the term
// of another, and two entries would have one index and one term. The term comes by its first
// entry, or by the answer to a vote, in the main loop.
func (p *peers) SetHeartbeatHandler(handle func(raft.RPC)) {
	p.Transport.SetHeartbeatHandler(func(rpc raft.RPC) {
		beat, ok := rpc.Command.(*raft.AppendEntriesRequest)
		if r := p.own.Load(); ok && (r == nil || beat.Term > r.CurrentTerm()) {
			rpc.Respond(nil, errNewTerm)
			return
		}
		handle(rpc)
	})
}

// given is in behind while a snapshot is on its way.
const given = math.MaxUint64

// forgotten is how long after its last answer nobody waits for a follower.
const forgotten = 10 * time.Second

// catchingUp reports whether a follower is being sent a snapshot, or needs what
// the log has behind the one that it got.
func (p *peers) catchingUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, until := range p.behind {
		c := p.seen[id]
		here := time.Since(c.at) <= forgotten
		if here && c.lastLog < until {
			return true
		}
		if until != given {
			delete(p.behind, id)
		}
	}
	return false
}

// open gives the pipelines to followers. Some may be closed by now.
func (p *peers) open() []*pipeline {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.pipelines))
}

// takeDoubt reports once that a follower did not answer.
func (p *peers) takeDoubt(id raft.ServerID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	doubted := p.doubt[id]
	delete(p.doubt, id)
	return doubted
}

func (p *peers) setBehind(id raft.ServerID, until uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behind[id] = until
}

// contact is the last answer of a follower.
type contact struct {
	at      time.Time
	lastLog uint64
}

func (p *peers) expect(id raft.ServerID, target raft.ServerAddress) {
	if p.layer != nil {
		p.layer.expected.Store(target, string(id))
	}
}

func (p *peers) contact(id raft.ServerID) contact {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[id]
}

func (p *peers) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p.expect(id, target)
	inner, err := p.Transport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	// One per follower: raft opens the next when it has given up the last.
	out := &pipeline{AppendPipeline: inner, doubted: func() bool { return p.takeDoubt(id) }}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pipelines[id] = out
	return out, nil
}

// AppendEntries carries every heartbeat, so contacts are less
// than half a heartbeat timeout old.
func (p *peers) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	p.expect(id, target)
	err := p.Transport.AppendEntries(id, target, args, resp)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.seen[id] = contact{time.Now(), resp.LastLog}
	} else {
		p.doubt[id] = true
	}
	return err
}

func (p *peers) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	p.expect(id, target)
	return p.Transport.RequestVote(id, target, args, resp)
}

func (p *peers) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	p.expect(id, target)
	return p.Transport.(raft.WithPreVote).RequestPreVote(id, target, args, resp)
}

func (p *peers) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	p.expect(id, target)
	p.setBehind(id, given)
	err := p.Transport.InstallSnapshot(id, target, args, resp, data)
	p.setBehind(id, p.lastLog())
	return err
}

func (p *peers) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	p.expect(id, target)
	return p.Transport.TimeoutNow(id, target, args, resp)
}

// Close closes the transport below, when it can be closed.
func (p *peers) Close() error {
	if c, ok := p.Transport.(raft.WithClose); ok {
		return c.Close()
	}
	return nil
}
