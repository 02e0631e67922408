package database

import (
	"crypto/tls"
	"crypto/x509"

	"backfleet/pkg/datasource"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// protection is how a connection is encrypted; nil: it is not.
func protection(source *wire.DataSource, ca []byte) (*tls.Config, error) {
	switch source.Tls {
	case datasource.TLSDisable:
		return nil, nil
	case datasource.TLSRequire:
		// What it says: whoever answers. It holds off those who only listen.
		return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: source.Host}
	if source.Ca != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fault.Field("ca", "there is no certificate in it: expected one or more in PEM, from BEGIN CERTIFICATE to END CERTIFICATE")
		}
	}
	return config, nil
}
