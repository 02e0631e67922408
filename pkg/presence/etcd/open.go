package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"time"

	"backfleet/pkg/fault"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Flags are the command line's names for Options; errors repeat them.
const (
	FlagEndpoints = "--etcd"
	FlagCA        = "--etcd-ca"
	FlagCert      = "--etcd-cert"
	FlagKey       = "--etcd-key"
)

// Options say where etcd is and how to prove who one is. Without files the
// connection is plain; with a CA alone etcd proves itself; with all three both
// sides do, and etcd takes the certificate's common name for the user.
type Options struct {
	Endpoints []string // host:port
	CA        string   // PEM file
	Cert, Key string   // PEM files
	Config
}

// Open makes a registry with a client of its own; Close ends it. It does not
// wait for etcd: an etcd that is away now is met when it is back.
func Open(o Options) (*Registry, error) {
	for _, e := range o.Endpoints {
		address := strings.TrimPrefix(strings.TrimPrefix(e, "https://"), "http://")
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return nil, fault.Field(FlagEndpoints, "%q is no address of etcd; expected host:port, such as 127.0.0.1:2379", e)
		}
	}
	secure, err := o.tls()
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: o.Endpoints, TLS: secure, Logger: zap.NewNop(),
		// A host that vanished must not look like one that thinks.
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second, PermitWithoutStream: true,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s %s", FlagEndpoints, strings.Join(o.Endpoints, ","))
	}
	r, err := New(client, o.Config)
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	r.owned = true
	return r, nil
}

// Close ends a registry that Open made. Twice is fine.
func (r *Registry) Close() {
	if r.owned {
		_ = r.client.Close()
	}
}

func (o Options) tls() (*tls.Config, error) {
	if o.CA == "" && o.Cert == "" && o.Key == "" {
		return nil, nil
	}
	if o.CA == "" {
		return nil, fault.Field(FlagCA, "missing; TLS to etcd needs the file of its authority")
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, fault.Field(FlagCert, "%s and %s belong together; give both or neither", FlagCert, FlagKey)
	}
	text, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s %s: cannot be read", FlagCA, o.CA)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()} // etcd's own minimum
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fault.Field(FlagCA, "%s holds no PEM certificate", o.CA)
	}
	if o.Cert == "" {
		return config, nil
	}
	if _, err := tls.LoadX509KeyPair(o.Cert, o.Key); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s %s with %s %s: expected a PEM certificate and its private key", FlagCert, o.Cert, FlagKey, o.Key)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key) // at each connection: renewal needs no restart
		return &pair, err
	}
	return config, nil
}
