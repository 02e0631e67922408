// Package mtlstest makes certificate authorities and certificates for tests.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"backfleet/pkg/mtls"
)

// CA is a certificate authority that lives as long as the test.
type CA struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// NewCA makes an authority.
func NewCA(t *testing.T) *CA {
	t.Helper()
	ca := &CA{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca.key = ca.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key)
	ca.check(err)
	ca.cert, err = x509.ParseCertificate(der)
	ca.check(err)
	ca.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca
}

func (ca *CA) check(err error) {
	ca.t.Helper()
	if err != nil {
		ca.t.Fatal(err)
	}
}

func (ca *CA) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ca.check(err)
	return key
}

// Issue writes a certificate for the names, and for 127.0.0.1, and gives the
// files.
func (ca *CA) Issue(names ...string) mtls.Files {
	ca.t.Helper()
	dir := ca.t.TempDir()
	files := mtls.Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, "ca.pem")}
	ca.IssueTo(files, names...)
	return files
}

// IssueTo does so into the given files, replacing what is there.
func (ca *CA) IssueTo(files mtls.Files, names ...string) {
	ca.t.Helper()
	ca.IssueBetween(files, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), names...)
}

// IssueBetween does so for a time that may be over, or not have come.
func (ca *CA) IssueBetween(files mtls.Files, from, until time.Time, names ...string) {
	ca.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	ca.check(err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "test"}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if len(names) > 0 {
		template.Subject.CommonName = names[0]
	}
	key := ca.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	ca.check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	ca.check(err)
	ca.check(os.WriteFile(files.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ca.check(os.WriteFile(files.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	ca.check(os.WriteFile(files.CA, ca.pem, 0o600))
}

// Trust has files trust these authorities, and nobody else.
func Trust(t *testing.T, files mtls.Files, all ...*CA) {
	t.Helper()
	var text []byte
	for _, ca := range all {
		text = append(text, ca.pem...)
	}
	if err := os.WriteFile(files.CA, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
