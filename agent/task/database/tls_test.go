package database

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"backfleet/pkg/wire"
)

// authority makes a certificate for 127.0.0.1 that has signed itself.
func authority(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// What a server of the test saw of a client.
const (
	plainText = "plain text"
	encrypted = "encrypted"
	gaveUp    = "gave up on the certificate"
)

// greet speaks as much of PostgreSQL's protocol as there is before a password,
// tells how the client came, and hangs up.
func greet(t *testing.T, certificate tls.Certificate) (port int32, saw <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	came := make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came <- meet(c, certificate)
			_ = c.Close()
		}
	}()
	return int32(l.Addr().(*net.TCPAddr).Port), came
}

func meet(c net.Conn, certificate tls.Certificate) string {
	const sslRequest = 80877103
	head := make([]byte, 8)
	if _, err := io.ReadFull(c, head); err != nil {
		return err.Error()
	}
	if binary.BigEndian.Uint32(head[4:]) != sslRequest {
		return plainText
	}
	if _, err := c.Write([]byte("S")); err != nil {
		return err.Error()
	}
	s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})
	// The client's first message comes when it has accepted the certificate.
	if _, err := io.ReadFull(s, head); err != nil {
		return gaveUp
	}
	return encrypted
}

func TestTLS(t *testing.T) {
	certificate, ca := authority(t)
	for _, c := range []struct {
		name, tls string
		ca        bool
		want      string
	}{
		{"loopback, nothing said", "", false, plainText},
		{"disable", "disable", false, plainText},
		{"require", "require", false, encrypted},
		{"verify by the system's authorities", "verify", false, gaveUp},
		{"verify by its own", "verify", true, encrypted},
	} {
		port, saw := greet(t, certificate) // one each: a driver may try again
		source := &wire.DataSource{Name: "x", Type: Postgres, Host: "127.0.0.1", Port: port, Database: "d", User: "u", Tls: c.tls}
		if c.ca {
			source.Ca = &wire.Secret{File: "ca.pem"}
		}
		_, err := Open(t.Context(), &wire.OpenSource{Source: source, Password: "open sesame", Ca: ca})
		if err == nil || strings.Contains(err.Error(), "open sesame") {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := <-saw; got != c.want {
			t.Errorf("%s: %s, want %s (%v)", c.name, got, c.want, err)
		}
	}
}

func TestTLSBeyondLoopback(t *testing.T) {
	config, err := protection(&wire.DataSource{Host: "db.example", Tls: "verify"}, nil)
	if err != nil || config.InsecureSkipVerify || config.ServerName != "db.example" || config.RootCAs != nil {
		t.Errorf("%+v, %v", config, err)
	}
}
