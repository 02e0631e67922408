package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/authority"
)

var now = time.Now()

func create(t *testing.T, domains ...string) (*authority.Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	a, err := authority.Create(dir, domains, now)
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestCreate(t *testing.T) {
	a, dir := create(t)
	cert := a.Certificate()
	if got := cert.NotAfter.Sub(now); !cert.IsCA || got < 10*365*24*time.Hour-time.Minute || got > 10*366*24*time.Hour || !cert.MaxPathLenZero || cert.MaxPathLen != 0 {
		t.Errorf("an authority for %s: %+v", got, cert)
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() || cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("key %T, usage %b", cert.PublicKey, cert.KeyUsage)
	}
	if got := mode(t, filepath.Join(dir, authority.KeyFile)); got != 0o600 {
		t.Errorf("the key's mode is %o", got)
	}
	if got := mode(t, dir); got != 0o700 {
		t.Errorf("the folder's mode is %o", got)
	}
	before, err := os.ReadFile(filepath.Join(dir, authority.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Create(dir, nil, now); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), authority.KeyFile) {
		t.Errorf("a second one in the folder: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, authority.KeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Create(dir, nil, now); !fault.Is(err, fault.Conflict) {
		t.Errorf("over the certificate alone: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("a refusal left %v, %v", entries, err)
	}
	if err := os.WriteFile(filepath.Join(dir, authority.KeyFile), before, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := authority.Open(dir)
	if err != nil || !again.Certificate().Equal(cert) {
		t.Errorf("opened: %v", err)
	}
	for _, d := range []string{"", "a b", "backfleet", "x.backfleet"} {
		if _, err := authority.Create(filepath.Join(t.TempDir(), "pki"), []string{d}, now); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--domain") {
			t.Errorf("domain %q: %v", d, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := authority.Open(t.TempDir()); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "backfleet tls init") {
		t.Errorf("nothing there: %v", err)
	}
	_, dir := create(t)
	_, other := create(t)
	key, cert := filepath.Join(dir, authority.KeyFile), filepath.Join(dir, authority.CertFile)
	mine, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join(other, authority.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	put := func(path string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(cert, append(slices.Clone(theirs), mine...))
	if _, err := authority.Open(dir); err != nil {
		t.Errorf("with another authority in the file: %v", err)
	}
	put(cert, theirs)
	if _, err := authority.Open(dir); !fault.Is(err, fault.Corrupt) {
		t.Errorf("another's certificate: %v", err)
	}
	for _, text := range []string{"s3cret", "-----BEGIN PRIVATE KEY-----\nczNjcmV0\n-----END PRIVATE KEY-----\n"} {
		put(key, []byte(text))
		if _, err := authority.Open(dir); !fault.Is(err, fault.Corrupt) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a broken key: %v", err)
		}
	}
}

func TestIssue(t *testing.T) {
	a, dir := create(t)
	for _, x := range []struct {
		r    authority.Request
		name string
		uses []x509.ExtKeyUsage
	}{
		{authority.Request{Role: authority.Coordinator, ID: "c1", Hosts: []string{"host1.example.org", "10.0.0.1", "::1"}, Days: 90},
			"c1.coordinator.backfleet", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}},
		{authority.Request{Role: authority.Agent, ID: "w1.example.org", Days: 1}, "w1.example.org.agent.backfleet", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		{authority.Request{Role: authority.Agent, ID: "w2", Hosts: []string{"w2.example.org"}, Days: 1}, "w2.agent.backfleet", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}},
		{authority.Request{Role: authority.Client, ID: "ada", Days: 30}, "ada.client.backfleet", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	} {
		got, err := a.Issue(x.r, dir, "", false, now)
		if err != nil {
			t.Fatal(err)
		}
		c := got.Certificate
		if c.DNSNames[0] != x.name || c.Subject.CommonName != x.r.ID || !slices.Equal(c.ExtKeyUsage, x.uses) || c.KeyUsage != x509.KeyUsageDigitalSignature || c.IsCA {
			t.Errorf("%+v: names %q of %q, uses %v %b", x.r, c.DNSNames, c.Subject, c.ExtKeyUsage, c.KeyUsage)
		}
		if len(c.DNSNames)-1+len(c.IPAddresses) != len(x.r.Hosts) {
			t.Errorf("%+v: hosts %q %v", x.r, c.DNSNames, c.IPAddresses)
		}
		if life := c.NotAfter.Sub(now); life > time.Duration(x.r.Days)*24*time.Hour || life < time.Duration(x.r.Days)*24*time.Hour-time.Minute {
			t.Errorf("%+v: it lives for %s", x.r, life)
		}
		if m := mode(t, got.Key); m != 0o600 {
			t.Errorf("%s: mode %o", got.Key, m)
		}
		files := mtls.Files{Cert: got.Cert, Key: got.Key, CA: filepath.Join(dir, authority.CertFile)}
		if checked, err := authority.Check(files, now); err != nil || !checked.Equal(c) {
			t.Errorf("%+v: %v", x.r, err)
		}
		if _, err := a.Issue(x.r, dir, "", false, now); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "--renew") {
			t.Errorf("%+v: again: %v", x.r, err)
		}
		if renewed, err := a.Issue(x.r, dir, "", true, now); err != nil || renewed.Certificate.Equal(c) {
			t.Errorf("%+v: renewed: %v", x.r, err)
		}
		if _, err := authority.Check(files, now); err != nil {
			t.Errorf("%+v: after the renewal: %v", x.r, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 10 {
		t.Errorf("files %v, %v", entries, err)
	}
	_, other := create(t)
	wrong := mtls.Files{Cert: filepath.Join(dir, "agent-w1.example.org.pem"), Key: filepath.Join(dir, "agent-w1.example.org.key"), CA: filepath.Join(other, authority.CertFile)}
	if _, err := authority.Check(wrong, now); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "does not vouch") {
		t.Errorf("under another authority: %v", err)
	}
	wrong.Key = filepath.Join(dir, "client-ada.key")
	if _, err := authority.Check(wrong, now); !fault.Is(err, fault.Invalid) {
		t.Errorf("with another key: %v", err)
	}
}

func TestIssueRefuses(t *testing.T) {
	a, dir := create(t, "example.org")
	good := authority.Request{Role: authority.Coordinator, ID: "c1", Hosts: []string{"h.example.org", "EXAMPLE.org", "10.0.0.1"}, Days: 90}
	if _, err := a.Issue(good, dir, "", false, now); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Check(mtls.Files{Cert: filepath.Join(dir, "coordinator-c1.pem"), Key: filepath.Join(dir, "coordinator-c1.key"), CA: filepath.Join(dir, authority.CertFile)}, now); err != nil {
		t.Errorf("within the domain: %v", err)
	}
	change := func(f func(*authority.Request)) authority.Request {
		r := good
		r.ID = "c2"
		f(&r)
		return r
	}
	for says, r := range map[string]authority.Request{
		"id: \"\"":          change(func(r *authority.Request) { r.ID = "" }),
		"id: \"../c\"":      change(func(r *authority.Request) { r.ID = "../c" }),
		"id: \".c\"":        change(func(r *authority.Request) { r.ID = ".c" }),
		"id: \"*\"":         change(func(r *authority.Request) { r.ID = "*" }),
		"id: \"x.backf":     change(func(r *authority.Request) { r.ID = "x.backfleet" }),
		"--days: 0":         change(func(r *authority.Request) { r.Days = 0 }),
		"--days: 4000":      change(func(r *authority.Request) { r.Days = 4000 }),
		"--host: missing":   change(func(r *authority.Request) { r.Hosts = nil }),
		"without a port":    change(func(r *authority.Request) { r.Hosts = []string{"h.example.org:8471"} }),
		"in a cluster":      change(func(r *authority.Request) { r.Role, r.Hosts = authority.Agent, []string{"c1.coordinator.backfleet"} }),
		"example.org alone": change(func(r *authority.Request) { r.Hosts = []string{"notexample.org"} }),
		"*.example.org":     change(func(r *authority.Request) { r.Hosts = []string{"*.example.org"} }),
	} {
		if _, err := a.Issue(r, dir, "", false, now); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, expected %q", r, err, says)
		}
	}
	late := now.Add(authority.Life - 49*time.Hour)
	if _, err := a.Issue(change(func(*authority.Request) {}), dir, "", false, late); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "at most 2") {
		t.Errorf("beyond the authority's end: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 4 {
		t.Errorf("refusals left %v, %v", entries, err)
	}
}

// The key of a request never leaves its host, and nothing but the key is taken
// from the request.
func TestRequests(t *testing.T) {
	a, dir := create(t)
	request := func(key any) string {
		t.Helper()
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"c1.coordinator.backfleet"}}, key)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "r.csr")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	path := request(key)
	r := authority.Request{Role: authority.Agent, ID: "a1", Days: 90}
	got, err := a.Issue(r, dir, path, false, now)
	if err != nil || got.Key != "" || !key.PublicKey.Equal(got.Certificate.PublicKey) || !slices.Equal(got.Certificate.DNSNames, []string{"a1.agent.backfleet"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "agent-a1.key")); err == nil {
		t.Error("a key was made")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	block.Bytes[len(block.Bytes)-1] ^= 1 // in the signature
	forged := filepath.Join(t.TempDir(), "r.csr")
	if err := os.WriteFile(forged, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	r.ID = "a2"
	for says, path := range map[string]string{"not signed": forged, "too weak": request(weak), "cannot be read": "/nowhere", "no certificate request": filepath.Join(dir, authority.CertFile)} {
		if _, err := a.Issue(r, dir, path, false, now); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
