// Package mtls loads certificates, hands out TLS configurations in which both
// sides prove who they are, and refuses to listen beyond the loopback without
// them. Files are read again when they change, so renewed certificates and
// authorities need no restart.
package mtls

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials"

	"backfleet/pkg/fault"
)

// Flags are the command line's names for what this package needs; errors
// repeat them.
const (
	FlagCert  = "--tls-cert"
	FlagKey   = "--tls-key"
	FlagCA    = "--tls-ca"
	FlagToken = "--token-file"
)

// Server is the configuration of a listener: it proves itself and demands a
// certificate of the authority from every client.
func (m *Material) Server() *tls.Config {
	config := func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := m.current()
		return &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{*now.pair},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    now.pool,
			NextProtos:   []string{"h2", "http/1.1"},
		}, nil
	}
	outer, _ := config(nil) // never fails; libraries look at it for NextProtos
	outer.GetConfigForClient = config
	return outer
}

// PublicServer is the configuration of a listener that proves itself and asks
// nothing of clients, who show a token instead; if certify, it asks for a
// certificate of the authority as well. A coordinator that says that it is one
// (DialTLS) is asked for its certificate in any case.
func (m *Material) PublicServer(certify bool) *tls.Config {
	outer := m.Server()
	if certify {
		return outer
	}
	choose := outer.GetConfigForClient
	outer.ClientAuth = tls.NoClientCert
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := choose(hello)
		if err == nil && !slices.Contains(hello.SupportedProtos, protoCoordinator) {
			chosen.ClientAuth = tls.NoClientCert
		}
		return chosen, err
	}
	return outer
}

// protoCoordinator among the protocols that a client offers says that it will show
// a certificate. It is never chosen. Browsers are not asked for one: they would
// ask their people.
const protoCoordinator = "backfleet-coordinator"

// Client is the configuration of one dial. serverName is the name the other
// side's certificate must carry; when empty, the dialed host (set by the
// library that dials). The authorities are those of this moment: who dials
// more than once asks each time, as Credentials and DialTLS do.
func (m *Material) Client(serverName string) *tls.Config {
	c := &tls.Config{MinVersion: m.minVersion, ServerName: serverName, RootCAs: m.current().pool}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return cmp.Or(m.current().pair, &tls.Certificate{}), nil // an empty one says: none
	}
	return c
}

// ToCoordinator is the configuration of one dial that takes only coordinators
// for an answer: the one with this id, whatever host it is on, or with an empty
// id any at the dialed host. An agent's certificate will not do.
func (m *Material) ToCoordinator(id string) *tls.Config {
	if id != "" {
		return m.Client(CoordinatorName(id))
	}
	c := m.Client("")
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 || !IsCoordinator(state.PeerCertificates[0]) {
			return fault.New(fault.Unauthenticated, "the answer came with a certificate that is not a coordinator's: expected one with a name ID%s", coordinatorSuffix)
		}
		return nil
	}
	return c
}

// Credentials are gRPC's for connections to coordinators, as ToCoordinator has
// them; to anybody at the dialed host with Anyone. Each new connection takes
// the certificate and the authorities of its moment.
func (m *Material) Credentials(id string) credentials.TransportCredentials {
	config := func() *tls.Config { return m.ToCoordinator(id) }
	return dialing{credentials.NewTLS(config()), config}
}

// AnyCredentials are gRPC's for connections to servers that are no
// coordinators: whoever proves to be the dialed host.
func (m *Material) AnyCredentials() credentials.TransportCredentials {
	config := func() *tls.Config { return m.Client("") }
	return dialing{credentials.NewTLS(config()), config}
}

// dialing asks for a configuration at every handshake: one that is kept would
// trust the authorities of its making for ever.
type dialing struct {
	credentials.TransportCredentials // of the beginning, for what does not change
	config                           func() *tls.Config
}

// ClientHandshake implements credentials.TransportCredentials.
func (d dialing) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(d.config()).ClientHandshake(ctx, authority, conn)
}

// Clone implements credentials.TransportCredentials.
func (d dialing) Clone() credentials.TransportCredentials { return d }

// ServerCredentials are gRPC's for a listener, as Server has them. Who is turned
// away is logged with the reason, at most once in ten seconds.
func (m *Material) ServerCredentials(logger *slog.Logger) credentials.TransportCredentials {
	return &serving{TransportCredentials: credentials.NewTLS(m.Server()), log: logger}
}

type serving struct {
	credentials.TransportCredentials
	log *slog.Logger

	mu     sync.Mutex
	told   time.Time
	silent int // turned away since
}

const tellEvery = 10 * time.Second

// ServerHandshake implements credentials.TransportCredentials.
func (s *serving) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := s.TransportCredentials.ServerHandshake(conn)
	// Who only looks whether the port is open says nothing, and is none of these.
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		s.turnedAway(conn.RemoteAddr(), err)
	}
	return secured, info, err
}

func (s *serving) turnedAway(from net.Addr, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.told) >= tellEvery {
		s.log.Warn("a connection was turned away", "address", from, "error", err, "others_before", s.silent)
		s.told, s.silent = now, 0
		return
	}
	s.silent++
}

// Clone implements credentials.TransportCredentials.
func (s *serving) Clone() credentials.TransportCredentials { return s }

// DialTLS connects a coordinator to any coordinator's API at an address, for
// http.Transport.DialTLSContext; it speaks HTTP/2 or 1.1.
func (m *Material) DialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	config := m.ToCoordinator("")
	config.NextProtos = []string{"h2", "http/1.1", protoCoordinator}
	return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
}

// RequireCoordinator refuses (fault.Invalid) material whose certificate is not
// that of the coordinator with this id, rather than let every other one turn it
// away later.
func (m *Material) RequireCoordinator(id string) error {
	leaf := m.current().pair.Leaf
	if slices.Contains(leaf.DNSNames, CoordinatorName(id)) {
		return nil
	}
	return fault.Field(FlagCert, "%s is not the certificate of coordinator %s: expected the DNS name %s among its names, found %s",
		m.files.Cert, id, CoordinatorName(id), cmp.Or(strings.Join(leaf.DNSNames, ", "), "none"))
}

// RequireAgent refuses (fault.Invalid) material whose certificate is not that
// of the agent with this id.
func (m *Material) RequireAgent(id string) error {
	leaf := m.current().pair.Leaf
	if IsAgent(leaf, id) {
		return nil
	}
	return fault.New(fault.Invalid, "%s is not the certificate of agent %s: expected the DNS name %s among its names, found %s (and the common name %q)",
		m.files.Cert, id, AgentName(id), cmp.Or(strings.Join(leaf.DNSNames, ", "), "none"), leaf.Subject.CommonName)
}
