package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
)

// Role is what the bearer of a certificate is in a cluster.
type Role string

const (
	// Coordinator is known to agents and to other coordinators, and serves.
	Coordinator Role = "coordinator"
	// Agent is known to coordinators by its id.
	Agent Role = "agent"
	// Client is a person or a program, for whom a certificate is one way of
	// proving themselves, such as to etcd.
	Client Role = "client"
)

// mostDays is the longest life of a certificate.
const mostDays = 3650

// Request says what a certificate is to be for.
type Request struct {
	Role Role
	// ID is that of the coordinator or agent, or the client's name.
	ID string
	// Hosts are the names and addresses at which others reach the bearer. A
	// coordinator needs one at least, an agent one where its figures are asked for
	// from other hosts.
	Hosts []string
	// Days is how long it lives.
	Days int
}

func (r Request) check() error {
	if !isHost(r.ID) || len(r.ID) > 63 || mtls.Reserved(r.ID) {
		return fault.Field("id", "%q cannot stand in a certificate: expected at most 63 letters, digits, \"-\", \"_\" and \".\" between them", r.ID)
	}
	if r.Days < 1 || r.Days > mostDays {
		return fault.Field("--days", "%d: expected 1 to %d", r.Days, mostDays)
	}
	if r.Role == Coordinator && len(r.Hosts) == 0 {
		return fault.Field("--host", "missing: a coordinator's certificate needs each name and address under which agents and people reach it")
	}
	for _, h := range r.Hosts {
		if net.ParseIP(h) == nil && !isHost(h) {
			return fault.Field("--host", "%q: expected the name or the address of a host, without a port", h)
		}
		if mtls.Reserved(h) {
			return fault.Field("--host", "%q: names that end in .backfleet say what somebody is in a cluster; expected the name of a host", h)
		}
	}
	return nil
}

// name is what tells others the bearer's role.
func (r Request) name() string {
	switch r.Role {
	case Coordinator:
		return mtls.CoordinatorName(r.ID)
	case Agent:
		return mtls.AgentName(r.ID)
	default:
		return mtls.ClientName(r.ID)
	}
}

// Sign makes a certificate for a public key.
func (a *Authority) Sign(r Request, key crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	end := now.Add(time.Duration(r.Days) * day)
	if left := a.cert.NotAfter.Sub(now); end.After(a.cert.NotAfter) {
		return nil, fault.Field("--days", "%d days from now the authority itself has expired: expected at most %d; make a new authority in another folder", r.Days, max(int(left/day), 0))
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: r.ID}, NotBefore: now.Add(-early), NotAfter: end,
		DNSNames: []string{r.name()}, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if r.Role == Coordinator || r.Role == Agent && len(r.Hosts) > 0 { // who asks an agent for its figures verifies its host
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, h := range r.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if err := a.permits(h); err != nil {
			return nil, err
		} else if !slices.Contains(template.DNSNames, h) {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the certificate cannot be made")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the certificate cannot be read")
	}
	return cert, nil
}

// permits refuses a host's name that everybody would refuse later, because the
// authority was made for certain domains.
func (a *Authority) permits(host string) error {
	domains := a.cert.PermittedDNSDomains
	inside := func(domain string) bool {
		return strings.EqualFold(host, domain) || strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(domain))
	}
	if len(domains) == 0 || slices.ContainsFunc(domains, inside) {
		return nil
	}
	return fault.Field("--host", "%q: this authority was made for hosts in %s alone", host, strings.Join(domains[1:], ", "))
}

// Issued names the files of a new certificate.
type Issued struct {
	Cert, Key   string // Key is empty when the key is elsewhere
	Certificate *x509.Certificate
}

// Issue makes a certificate and its key in a folder: ROLE-ID.pem and
// ROLE-ID.key. Files that are there are kept (fault.Conflict) unless they are to
// be renewed. With a request file (PEM, PKCS #10) the key that it proves is
// certified, and no key is made; nothing else of it is taken over.
func (a *Authority) Issue(r Request, out, request string, renew bool, now time.Time) (Issued, error) {
	base := filepath.Join(out, string(r.Role)+"-"+r.ID)
	issued := Issued{Cert: base + ".pem"}
	var files []file
	var public crypto.PublicKey
	if request != "" {
		var err error
		if public, err = requested(request); err != nil {
			return Issued{}, err
		}
	} else {
		key, err := newKey()
		if err != nil {
			return Issued{}, err
		}
		text, err := encodeKey(key)
		if err != nil {
			return Issued{}, err
		}
		public, issued.Key = key.Public(), base+".key"
		files = append(files, file{issued.Key, text, 0o600})
	}
	cert, err := a.Sign(r, public, now)
	if err != nil {
		return Issued{}, err
	}
	issued.Certificate = cert
	if err := os.MkdirAll(out, 0o700); err != nil {
		return Issued{}, fault.Wrap(err, fault.Invalid, "--out %s cannot be made", out)
	}
	return issued, write(append(files, file{issued.Cert, encodeCert(cert.Raw), 0o644}), renew)
}

// requested reads the public key of a request, whose signature must show that
// its sender has the private one.
func requested(path string) (crypto.PublicKey, error) {
	const flag = "--csr"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s %s cannot be read", flag, path)
	}
	block, _ := pem.Decode(text)
	if block == nil || !strings.HasSuffix(block.Type, "CERTIFICATE REQUEST") { // OpenSSL once wrote NEW before it
		return nil, fault.Field(flag, "%s holds no certificate request: expected PEM, as `openssl req -new` writes it", path)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s %s is broken", flag, path)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s %s is not signed by the key that it names", flag, path)
	}
	switch key := request.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key, nil
	case *rsa.PublicKey:
		if key.Size() >= 2048/8 {
			return key, nil
		}
	}
	return nil, fault.Field(flag, "%s: its key is too weak or of an unknown kind: expected ECDSA, Ed25519, or RSA of 2048 bits at least", path)
}

// Check finds out what others would find: that the files are whole, belong
// together and are in their time, and that the authorities vouch for the
// certificate in its role. It gives the certificate.
func Check(files mtls.Files, now time.Time) (*x509.Certificate, error) {
	if _, err := mtls.Load(files); err != nil {
		return nil, err
	}
	chain, err := mtls.ReadCertificates(files.Cert)
	if err != nil {
		return nil, err
	}
	authorities, err := mtls.ReadCertificates(files.CA)
	if err != nil {
		return nil, err
	}
	leaf, roots, between := chain[0], x509.NewCertPool(), x509.NewCertPool()
	for _, c := range authorities {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	uses := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if mtls.IsCoordinator(leaf) {
		uses = append(uses, x509.ExtKeyUsageServerAuth)
	}
	for _, use := range uses {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "%s does not vouch for %s", files.CA, files.Cert)
		}
	}
	return leaf, nil
}
