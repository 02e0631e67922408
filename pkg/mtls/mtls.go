// Package mtls loads certificates, hands out TLS configurations in which both
// sides prove who they are, and refuses to listen beyond the loopback without
// them. Files are read again when they change, so renewed certificates need
// no restart.
package mtls

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

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

// coordinatorSuffix marks a certificate as a coordinator's. Agents and users
// have certificates of the same authority, so a valid chain alone must not
// open the door to the replicated log.
const coordinatorSuffix = ".coordinator.backfleet"

// CoordinatorName is the DNS name that the certificate of the coordinator
// with this id carries, beside the names of its host.
func CoordinatorName(id string) string { return id + coordinatorSuffix }

// IsCoordinator reports whether a verified certificate is a coordinator's.
func IsCoordinator(cert *x509.Certificate) bool {
	for _, name := range cert.DNSNames {
		if id, ok := strings.CutSuffix(name, coordinatorSuffix); ok && id != "" && id != "*" {
			return true
		}
	}
	return false
}

// Files names the three PEM files.
type Files struct {
	Cert string // certificate, intermediates after it
	Key  string
	CA   string // authorities that may vouch for the other side
}

// Configured reports whether any of the files is named.
func (f Files) Configured() bool { return f != Files{} }

// checkEvery bounds how often the files' times are looked at.
const checkEvery = 5 * time.Second

// Material is a key pair and the trusted authorities, re-read when a file
// changes. A broken new file is ignored: the last good material stays in use
// until Reload succeeds. Safe for concurrent use.
type Material struct {
	files Files

	mu      sync.Mutex
	pair    *tls.Certificate
	pool    *x509.CertPool
	stamps  [3]stamp
	checked time.Time
}

type stamp struct {
	modified time.Time
	size     int64
}

// Load reads the three files. All are required; errors name the flag and the
// file (fault.Invalid).
func Load(files Files) (*Material, error) {
	for _, f := range []struct{ flag, path string }{{FlagCert, files.Cert}, {FlagKey, files.Key}, {FlagCA, files.CA}} {
		if f.path == "" {
			return nil, fault.Field(f.flag, "missing; TLS needs %s, %s and %s together", FlagCert, FlagKey, FlagCA)
		}
	}
	m := &Material{files: files}
	if err := m.Reload(); err != nil {
		return nil, err
	}
	return m, nil
}

// Reload reads the files now. On an error the former material stays.
func (m *Material) Reload() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reload()
}

func (m *Material) reload() error {
	m.checked = time.Now()
	stamps := m.stat()
	pair, err := tls.LoadX509KeyPair(m.files.Cert, m.files.Key)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "%s %s with %s %s: expected a PEM certificate and its private key", FlagCert, m.files.Cert, FlagKey, m.files.Key)
	}
	pem, err := os.ReadFile(m.files.CA)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "%s %s: cannot be read", FlagCA, m.files.CA)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fault.New(fault.Invalid, "%s %s: holds no PEM certificate", FlagCA, m.files.CA)
	}
	m.pair, m.pool, m.stamps = &pair, pool, stamps
	return nil
}

func (m *Material) stat() (stamps [3]stamp) {
	for i, path := range []string{m.files.Cert, m.files.Key, m.files.CA} {
		if info, err := os.Stat(path); err == nil {
			stamps[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return stamps
}

// current gives the newest good material.
func (m *Material) current() (*tls.Certificate, *x509.CertPool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.checked) >= checkEvery {
		m.checked = time.Now()
		if m.stat() != m.stamps {
			_ = m.reload() // half-written files: keep the old, look again later
		}
	}
	return m.pair, m.pool
}

// Server is the configuration of a listener: it proves itself and demands a
// certificate of the authority from every client.
func (m *Material) Server() *tls.Config {
	config := func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pair, pool := m.current()
		return &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{*pair},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    pool,
			NextProtos:   []string{"h2", "http/1.1"},
		}, nil
	}
	outer, _ := config(nil) // never fails; libraries look at it for NextProtos
	outer.GetConfigForClient = config
	return outer
}

// PublicServer is the configuration of a listener that proves itself and asks
// nothing of clients, who show a token instead.
func (m *Material) PublicServer() *tls.Config {
	outer := m.Server()
	choose := outer.GetConfigForClient
	outer.ClientAuth = tls.NoClientCert
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := choose(hello)
		if err == nil {
			chosen.ClientAuth = tls.NoClientCert
		}
		return chosen, err
	}
	return outer
}

// Client is the configuration of a dialer. serverName is the name the other
// side's certificate must carry; when empty, the dialed host (set by the
// library that dials). The own certificate follows the files; the authorities
// are those of this moment, so who dials for years asks again now and then, or
// changes authorities with both in the file for a while.
func (m *Material) Client(serverName string) *tls.Config {
	_, pool := m.current()
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: serverName,
		RootCAs:    pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, _ := m.current()
			return pair, nil
		},
	}
}

// ToCoordinator is the configuration of a dialer that takes only coordinators
// for an answer: the one with this id, whatever host it is on, or with an empty
// id any at the dialed host. An agent's certificate will not do.
func (m *Material) ToCoordinator(id string) *tls.Config {
	if id != "" {
		return m.Client(CoordinatorName(id))
	}
	c := m.Client("")
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 || !IsCoordinator(state.PeerCertificates[0]) {
			return fault.New(fault.Unauthenticated, "%s answered with a certificate that is not a coordinator's: expected one with a name ID%s", state.ServerName, coordinatorSuffix)
		}
		return nil
	}
	return c
}

// RequireCoordinator refuses (fault.Invalid) material whose certificate is not
// that of the coordinator with this id, rather than let every other one turn it
// away later.
func (m *Material) RequireCoordinator(id string) error {
	pair, _ := m.current()
	if slices.Contains(pair.Leaf.DNSNames, CoordinatorName(id)) {
		return nil
	}
	return fault.Field(FlagCert, "%s is not the certificate of coordinator %s: expected the DNS name %s among its names, found %s",
		m.files.Cert, id, CoordinatorName(id), cmp.Or(strings.Join(pair.Leaf.DNSNames, ", "), "none"))
}
