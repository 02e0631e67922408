// Package authority makes the certificates of a cluster: an authority of its
// own in a folder, and what it vouches for. Nothing here talks to anybody; who
// has the folder has the cluster.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
)

const (
	// CertFile and KeyFile are the authority's two files in its folder. The
	// first is for everybody; the second leaves the folder never.
	CertFile = "ca.pem"
	KeyFile  = "ca.key"

	// Life is how long a new authority lives.
	Life = 10 * 365 * day
	day  = 24 * time.Hour
	// early is how long before its making a certificate begins, for hosts whose
	// clocks are behind.
	early = time.Hour
)

// Authority vouches for others.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Create makes an authority in a folder, which is made too if need be. A folder
// that has one already is refused (fault.Conflict): whatever the old one signed
// would be worth nothing. With domains it can vouch only for names of hosts in
// these, beside the cluster's own; addresses are not bounded.
func Create(dir string, domains []string, now time.Time) (*Authority, error) {
	for _, d := range domains {
		if !isHost(d) || mtls.Reserved(d) {
			return nil, fault.Field("--domain", "%q: expected the domain of your hosts, such as example.org", d)
		}
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Backfleet authority of " + now.UTC().Format(time.DateOnly)},
		NotBefore: now.Add(-early), NotAfter: now.Add(Life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, // it signs no other authority
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if len(domains) > 0 {
		template.PermittedDNSDomainsCritical = true
		template.PermittedDNSDomains = append([]string{"backfleet"}, domains...)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the authority's certificate cannot be made")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the authority's certificate cannot be read")
	}
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "--dir %s cannot be made", dir)
	}
	files := []file{{filepath.Join(dir, KeyFile), text, 0o600}, {filepath.Join(dir, CertFile), encodeCert(der), 0o644}}
	if err := write(files, false); err != nil {
		return nil, err
	}
	return &Authority{cert, key}, nil
}

// Open reads the authority of a folder. Its CertFile may hold several
// certificates, as it does while authorities are changed: the one that the key
// belongs to counts.
func Open(dir string) (*Authority, error) {
	path := filepath.Join(dir, KeyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "--dir %s has no authority (%s): make one with `backfleet tls init --dir %s`", dir, KeyFile, dir)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the authority's key cannot be read")
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fault.New(fault.Corrupt, "%s holds no PEM key: restore it from its copy", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil, fault.New(fault.Corrupt, "%s is broken: restore it from its copy", path) // the cause might quote the key
	}
	certs, err := mtls.ReadCertificates(filepath.Join(dir, CertFile))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s", filepath.Join(dir, CertFile))
	}
	for _, cert := range certs {
		if public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(key.Public()) {
			return &Authority{cert, key}, nil
		}
	}
	return nil, fault.New(fault.Corrupt, "%s is not the key of %s: expected both of one authority", path, CertFile)
}

// Certificate is the authority's own.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no key can be made")
	}
	return key, nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "a key cannot be written down")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// file is one to be written.
type file struct {
	path string
	text []byte
	mode fs.FileMode
}

// write writes all files or none. Unless they may be replaced, none may exist
// (fault.Conflict). Each appears whole or not at all.
func write(files []file, replace bool) error {
	var temporary []string
	defer func() {
		for _, path := range temporary {
			_ = os.Remove(path) // those that took their names are gone
		}
	}()
	for _, f := range files {
		if _, err := os.Lstat(f.path); err == nil && !replace {
			return fault.New(fault.Conflict, "%s is there already and is not overwritten: choose another folder, or see --renew", f.path)
		}
		path := f.path + ".new"
		_ = os.Remove(path) // of a run that was killed
		temporary = append(temporary, path)
		if err := writeNew(path, f.text, f.mode); err != nil {
			return fault.Wrap(err, fault.Invalid, "%s cannot be written", f.path)
		}
	}
	for i, f := range files {
		var err error
		if replace {
			err = os.Rename(temporary[i], f.path)
		} else {
			err = os.Link(temporary[i], f.path) // unlike a rename it replaces nothing that came meanwhile
		}
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "%s cannot be written", f.path)
		}
	}
	return nil
}

func writeNew(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// isHost reports whether a text may be the DNS name of a host.
func isHost(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
