package command

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"backfleet/pkg/fault"
)

// tlsFiles names PEM files; all empty means no TLS.
type tlsFiles struct{ ca, cert, key string }

func (f tlsFiles) load() (*tls.Config, error) {
	if f == (tlsFiles{}) {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "--tls-ca cannot be read")
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fault.Field("tls-ca", "expected certificates in PEM form in %s, found none", f.ca)
		}
	}
	if (f.cert == "") != (f.key == "") {
		return nil, fault.Field("tls-cert", "a certificate and its key go together: give --tls-cert and --tls-key")
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "--tls-cert and --tls-key cannot be used")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
