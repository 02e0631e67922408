package mtls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/credentials"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/mtlstest"
)

// shake makes a connection with gRPC's credentials of both ends, and has each
// hear the other: in TLS 1.3 a client learns of its refusal by reading.
func shake(t *testing.T, server, client credentials.TransportCredentials) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			var secured net.Conn
			if secured, _, err = server.ServerHandshake(conn); err == nil {
				_, err = secured.Write([]byte{1})
			}
		}
		done <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	secured, _, err := client.ClientHandshake(t.Context(), l.Addr().String(), conn)
	if err == nil {
		_, err = io.ReadFull(secured, make([]byte, 1))
	}
	_ = conn.Close()
	return <-done, err
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take gives what was written since the last time.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Authorities are changed while everybody works with the same credentials all
// the time: both are trusted, then all are issued anew, then the old one goes.
func TestAuthoritiesChange(t *testing.T) {
	before, after := mtlstest.NewCA(t), mtlstest.NewCA(t)
	serverFiles, clientFiles := before.Issue(mtls.CoordinatorName("c1")), before.Issue(mtls.AgentName("a1"))
	server, client := load(t, serverFiles), load(t, clientFiles)
	var log lines
	serving, dialing := server.ServerCredentials(log.logger()), client.Credentials("")
	named := client.Credentials("c1").Clone()
	meets := func(when string) {
		t.Helper()
		for _, d := range []credentials.TransportCredentials{dialing, named} {
			if s, c := shake(t, serving, d); s != nil || c != nil {
				t.Errorf("%s: %v, %v", when, s, c)
			}
		}
	}
	reload := func() {
		t.Helper()
		for _, m := range []*mtls.Material{server, client} {
			if err := m.Reload(); err != nil {
				t.Fatal(err)
			}
		}
	}
	meets("at first")
	mtlstest.Trust(t, serverFiles, before, after)
	mtlstest.Trust(t, clientFiles, before, after)
	reload()
	meets("both are trusted")
	after.IssueTo(serverFiles, mtls.CoordinatorName("c1"))
	mtlstest.Trust(t, serverFiles, before, after)
	reload()
	meets("the server is of the new one, the client of the old one")
	after.IssueTo(clientFiles, mtls.AgentName("a1"))
	reload()
	meets("both are of the new one")
	mtlstest.Trust(t, serverFiles, after)
	reload()
	meets("the old one is gone")

	old := load(t, before.Issue(mtls.AgentName("a2")))
	mtlstest.Trust(t, clientFiles, after)
	if _, c := shake(t, serving, old.Credentials("")); c == nil {
		t.Error("who trusts the old authority alone took the new one's coordinator")
	}
	trusting := before.Issue(mtls.AgentName("a3"))
	mtlstest.Trust(t, trusting, after)
	log.take()
	if s, c := shake(t, serving, load(t, trusting).Credentials("")); s == nil || c == nil || !strings.Contains(c.Error(), "unknown certificate authority") {
		t.Errorf("a certificate of the old authority: %v, %v", s, c)
	}
	if got := log.take(); got != "" && !strings.Contains(got, "unknown authority") { // at most one line in ten seconds
		t.Errorf("logged %q", got)
	}
}

// What a refused one reads, and what the log says of it.
func TestExpiredAreRefused(t *testing.T) {
	ca := mtlstest.NewCA(t)
	server := load(t, ca.Issue(mtls.CoordinatorName("c1")))
	files, now := ca.Issue("a1"), time.Now()
	ca.IssueBetween(files, now.Add(-time.Hour), now.Add(-time.Minute), mtls.AgentName("a1"))
	if _, err := mtls.Load(files); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "expired at") || !strings.Contains(err.Error(), files.Cert) {
		t.Errorf("an expired certificate: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	config := load(t, ca.Issue("x")).Client(mtls.CoordinatorName("c1"))
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	var log lines
	s, c := shake(t, server.ServerCredentials(log.logger()), credentials.NewTLS(config))
	if s == nil || c == nil || !strings.Contains(c.Error(), "expired certificate") {
		t.Errorf("who comes with one all the same: %v, %v", s, c)
	}
	if got := log.take(); !strings.Contains(got, "turned away") || !strings.Contains(got, "certificate has expired") || !strings.Contains(got, "address=127.0.0.1:") {
		t.Errorf("logged %q", got)
	}
	ca.IssueBetween(files, now.Add(time.Minute), now.Add(time.Hour), mtls.AgentName("a1"))
	if _, err := mtls.Load(files); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "clock") {
		t.Errorf("one whose time has not come: %v", err)
	}
}

func TestDialTLS(t *testing.T) {
	ca := mtlstest.NewCA(t)
	serve := func(name string) (address string) {
		l, err := tls.Listen("tcp", "127.0.0.1:0", load(t, ca.Issue(name)).Server())
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		return "https://" + l.Addr().String()
	}
	client := &http.Client{Transport: &http.Transport{DialTLSContext: load(t, ca.Issue("x")).DialTLS, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	got, err := client.Get(serve(mtls.CoordinatorName("c1")))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if text, _ := io.ReadAll(got.Body); !strings.HasPrefix(string(text), "HTTP/") {
		t.Errorf("%q", text)
	}
	if _, err := client.Get(serve(mtls.AgentName("a1"))); err == nil || !strings.Contains(err.Error(), "not a coordinator's") {
		t.Errorf("an agent was taken for a coordinator: %v", err)
	}
}

// A coordinator is known by its certificate where nobody else is asked for one.
func TestACoordinatorIsKnownToThePublicListener(t *testing.T) {
	ca := mtlstest.NewCA(t)
	server := load(t, ca.Issue(mtls.CoordinatorName("c1")))
	l, err := tls.Listen("tcp", "127.0.0.1:0", server.PublicServer(false))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			name = owner(certs[0])
		}
		_, _ = io.WriteString(w, r.Proto+" "+name)
	})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	coordinator, agent := load(t, ca.Issue(mtls.CoordinatorName("c2"))), load(t, ca.Issue(mtls.AgentName("a1")))
	for want, transport := range map[string]*http.Transport{
		"HTTP/2.0 coordinator c2": {DialTLSContext: coordinator.DialTLS, ForceAttemptHTTP2: true},
		"HTTP/2.0 agent a1":       {DialTLSContext: agent.DialTLS, ForceAttemptHTTP2: true},
		"HTTP/2.0 nobody":         {TLSClientConfig: agent.Client(""), ForceAttemptHTTP2: true},
		"HTTP/1.1 nobody":         {TLSClientConfig: coordinator.Client("")},
	} {
		client := &http.Client{Transport: transport}
		got, err := client.Get("https://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(got.Body)
		_ = got.Body.Close()
		client.CloseIdleConnections()
		if string(text) != want {
			t.Errorf("%q, expected %q", text, want)
		}
	}
}

func owner(cert *x509.Certificate) string {
	role, id := mtls.Role(cert)
	return role + " " + id
}

func TestLoadFor(t *testing.T) {
	ca := mtlstest.NewCA(t)
	files := ca.Issue("x")
	alone, err := mtls.LoadFor("etcd-", mtls.Files{CA: files.CA})
	if err != nil {
		t.Fatal(err)
	}
	public := credentials.NewTLS(load(t, ca.Issue("server")).PublicServer(false))
	if s, c := shake(t, public, alone.AnyCredentials()); s != nil || c != nil {
		t.Errorf("with the authority alone: %v, %v", s, c)
	}
	if s, _ := shake(t, load(t, ca.Issue("server")).ServerCredentials(slog.New(slog.DiscardHandler)), alone.AnyCredentials()); s == nil {
		t.Error("without a certificate it was let in where one is asked for")
	}
	if certificate, authority := alone.Expiry(); !certificate.IsZero() || authority.IsZero() {
		t.Errorf("ends at %s and %s", certificate, authority)
	}
	for flag, f := range map[string]mtls.Files{"--etcd-ca": {Cert: files.Cert, Key: files.Key}, "--etcd-cert and --etcd-key": {CA: files.CA, Key: files.Key}, "--etcd-ca " + files.Key: {CA: files.Key}} {
		if _, err := mtls.LoadFor("etcd-", f); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// The log tells of new files, of broken ones once, and twice a day of an end
// that is near.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := mtlstest.NewCA(t)
		files, now := ca.Issue("a1"), time.Now()
		day := 24 * time.Hour
		ca.IssueBetween(files, now.Add(-70*day), now.Add(20*day), "a1") // of 90 days the last fifth is 18
		m := load(t, files)
		var log lines
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go m.Watch(ctx, log.logger())
		after := func(d time.Duration, wants ...string) {
			t.Helper()
			<-time.After(d) // of the bubble
			synctest.Wait()
			got := log.take()
			if len(wants) == 0 && got != "" || strings.Count(got, "\n") != len(wants) {
				t.Errorf("logged %q, expected %d lines", got, len(wants))
			}
			for _, want := range wants {
				if !strings.Contains(got, want) {
					t.Errorf("logged %q, expected %q", got, want)
				}
			}
		}
		after(30 * time.Second)
		if err := os.WriteFile(files.Key, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		after(30*time.Second, "cannot be used")
		after(30 * time.Second)
		ca.IssueBetween(files, time.Now().Add(-80*day), time.Now().Add(10*day), "a1")
		after(30*time.Second, "new certificate files are in use", "expires soon")
		after(30 * time.Minute)
		after(25*time.Minute, `certificate expires soon`) // the test's authority lives for an hour
		after(10*time.Minute, `certificate has expired`)  // said at once
		after(11*time.Hour, "expires soon")               // the first again
		after(time.Hour, "has expired")
		cancel()
		synctest.Wait()
	})
}
