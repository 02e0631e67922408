package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"sync"
	"time"

	"backfleet/pkg/fault"
)

// Files names the three PEM files.
type Files struct {
	Cert string // certificate, intermediates after it
	Key  string
	CA   string // authorities that may vouch for the other side
}

// Configured reports whether any of the files is named.
func (f Files) Configured() bool { return f != Files{} }

// flagNames are the flags that errors name.
type flagNames struct{ cert, key, ca string }

// checkEvery bounds how often the files' times are looked at.
const checkEvery = 5 * time.Second

// Material is a key pair and the trusted authorities, re-read when a file
// changes. A broken new file is ignored: the last good material stays in use
// until Reload succeeds. Safe for concurrent use.
type Material struct {
	files      Files
	flags      flagNames
	minVersion uint16

	mu      sync.Mutex
	good    *loaded
	broken  error // why newer files are not in use
	stamps  [3]stamp
	checked time.Time
}

// loaded is what the files held at a time.
type loaded struct {
	pair        *tls.Certificate // nil: no certificate of one's own
	pool        *x509.CertPool
	authorities []*x509.Certificate
}

type stamp struct {
	modified time.Time
	size     int64
}

// Load reads the three files. All are required; errors name the flag and the
// file (fault.Invalid). A certificate whose time is over, or has not come, is
// refused.
func Load(files Files) (*Material, error) {
	for _, f := range []struct{ flag, path string }{{FlagCert, files.Cert}, {FlagKey, files.Key}, {FlagCA, files.CA}} {
		if f.path == "" {
			return nil, fault.Field(f.flag, "missing; TLS needs %s, %s and %s together", FlagCert, FlagKey, FlagCA)
		}
	}
	m := &Material{files: files, flags: flagNames{FlagCert, FlagKey, FlagCA}, minVersion: tls.VersionTLS13}
	if err := m.Reload(); err != nil {
		return nil, err
	}
	return m, nil
}

// LoadFor reads files for connections to a server, with TLS 1.2 or later: the
// authorities are required, certificate and key may be absent together. Errors
// name the flags --PREFIXca, --PREFIXcert and --PREFIXkey.
func LoadFor(prefix string, files Files) (*Material, error) {
	m := &Material{files: files, minVersion: tls.VersionTLS12, flags: flagNames{"--" + prefix + "cert", "--" + prefix + "key", "--" + prefix + "ca"}}
	if files.CA == "" {
		return nil, fault.Field(m.flags.ca, "missing; expected the file of the server's authority beside %s and %s", m.flags.cert, m.flags.key)
	}
	if (files.Cert == "") != (files.Key == "") {
		return nil, fault.Field(m.flags.cert, "%s and %s belong together; give both or neither", m.flags.cert, m.flags.key)
	}
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

func (m *Material) reload() (err error) {
	defer func() { m.broken = err }()
	m.checked = time.Now()
	stamps, fresh := m.stat(), &loaded{}
	if m.files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(m.files.Cert, m.files.Key)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "%s %s with %s %s: expected a PEM certificate and its private key", m.flags.cert, m.files.Cert, m.flags.key, m.files.Key)
		}
		if err := inTime(pair.Leaf, m.checked); err != nil {
			return fault.Field(m.flags.cert, "%s: %s", m.files.Cert, err)
		}
		fresh.pair = &pair
	}
	if fresh.authorities, err = ReadCertificates(m.files.CA); err != nil {
		return fault.Wrap(err, fault.Invalid, "%s %s", m.flags.ca, m.files.CA)
	}
	fresh.pool = x509.NewCertPool()
	for _, authority := range fresh.authorities {
		fresh.pool.AddCert(authority)
	}
	if err := inTime(last(fresh.authorities), m.checked); err != nil {
		return fault.Field(m.flags.ca, "%s: %s", m.files.CA, err)
	}
	m.good, m.stamps = fresh, stamps
	return nil
}

// ReadCertificates reads the certificates of a PEM file, of which there must be
// one at least. Errors are fault.Invalid and do not name the file.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "it cannot be read")
	}
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "certificate %d of it is broken", len(list)+1)
		}
		list = append(list, cert)
	}
	if len(list) == 0 {
		return nil, fault.New(fault.Invalid, "it holds no PEM certificate")
	}
	return list, nil
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
func (m *Material) current() *loaded {
	now, _ := m.look()
	return now
}

// look reads files that have changed; broken says why newer ones are not used.
func (m *Material) look() (now *loaded, broken error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.checked) >= checkEvery {
		m.checked = time.Now()
		if m.stat() != m.stamps {
			_ = m.reload() // half-written files: keep the old, look again later
		} else {
			m.broken = nil
		}
	}
	return m.good, m.broken
}
