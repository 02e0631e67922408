package mtls_test

import (
	"crypto/tls"
	"net"
	"os"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/mtlstest"
)

func load(t *testing.T, files mtls.Files) *mtls.Material {
	t.Helper()
	m, err := mtls.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// meet makes a connection and gives both sides' errors and what the client
// saw of the server.
func meet(t *testing.T, server, client *tls.Config) (serverErr, clientErr error, serverName string) {
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
			err = tls.Server(conn, server).Handshake()
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		serverName = conn.ConnectionState().PeerCertificates[0].DNSNames[0]
		defer conn.Close()
	}
	return <-done, err, serverName
}

func TestBothSidesProveThemselves(t *testing.T) {
	ca, stranger := mtlstest.NewCA(t), mtlstest.NewCA(t)
	server, client := load(t, ca.Issue("server")), load(t, ca.Issue("client"))
	if s, c, name := meet(t, server.Server(), client.Client("server")); s != nil || c != nil || name != "server" {
		t.Errorf("friends: %v, %v, %q", s, c, name)
	}
	if s, c, _ := meet(t, server.Server(), client.Client("")); s != nil || c != nil {
		t.Errorf("by address: %v, %v", s, c)
	}
	if _, c, _ := meet(t, server.Server(), client.Client("other")); c == nil {
		t.Error("the server passed under another name")
	}
	if s, _, _ := meet(t, server.Server(), load(t, stranger.Issue("client")).Client("server")); s == nil {
		t.Error("a client of another authority was let in")
	}
	bare := client.Client("server")
	bare.GetClientCertificate = nil
	if s, _, _ := meet(t, server.Server(), bare); s == nil {
		t.Error("a client without a certificate was let in")
	}
	if _, c, _ := meet(t, load(t, stranger.Issue("server")).Server(), client.Client("server")); c == nil {
		t.Error("a server of another authority was believed")
	}
}

func TestRoles(t *testing.T) {
	ca := mtlstest.NewCA(t)
	c1, agent := load(t, ca.Issue(mtls.CoordinatorName("c1"))), load(t, ca.Issue("agent"))
	for _, id := range []string{"", "c1"} {
		if s, c, _ := meet(t, c1.Server(), agent.ToCoordinator(id)); s != nil || c != nil {
			t.Errorf("an agent to coordinator %q: %v, %v", id, s, c)
		}
		if _, c, _ := meet(t, agent.Server(), c1.ToCoordinator(id)); c == nil {
			t.Errorf("an agent was taken for coordinator %q", id)
		}
	}
	if _, c, _ := meet(t, c1.Server(), agent.ToCoordinator("c2")); c == nil {
		t.Error("c1 was taken for c2")
	}
	if err := c1.RequireCoordinator("c1"); err != nil {
		t.Error(err)
	}
	for _, m := range []*mtls.Material{c1, agent} {
		if err := m.RequireCoordinator("c2"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "c2.coordinator.backfleet") {
			t.Errorf("as c2: %v", err)
		}
	}
	bare := agent.Client("")
	bare.GetClientCertificate = nil
	if s, c, _ := meet(t, c1.PublicServer(false), bare); s != nil || c != nil {
		t.Errorf("a client with a token alone: %v, %v", s, c)
	}
	if s, _, _ := meet(t, c1.PublicServer(true), bare); s == nil {
		t.Error("a client without a certificate was let in where one is required")
	}
	if s, c, _ := meet(t, c1.PublicServer(true), agent.Client("")); s != nil || c != nil {
		t.Errorf("a client with a certificate: %v, %v", s, c)
	}
}

// Who a certificate is of is read from its names to the letter; a common name
// counts only where no name says what somebody is.
func TestAgentsByTheirCertificates(t *testing.T) {
	ca := mtlstest.NewCA(t)
	for _, x := range []struct {
		names    []string // the first is the common name, too
		id       string
		is       bool
		role, of string
	}{
		{[]string{"a1.agent.backfleet"}, "a1", true, "agent", "a1"},
		{[]string{"a1.agent.backfleet"}, "a2", false, "agent", "a1"},
		{[]string{"a1.agent.backfleet"}, "A1", false, "agent", "a1"},
		{[]string{"a1.agent.backfleet"}, "", false, "agent", "a1"},
		{[]string{"w.example.org.agent.backfleet", "w.example.org"}, "w.example.org", true, "agent", "w.example.org"},
		{[]string{"a1", "a1.client.backfleet"}, "a1", false, "client", "a1"},
		{[]string{"a1", "a1.coordinator.backfleet"}, "a1", false, "coordinator", "a1"},
		{[]string{"a1", "host1"}, "a1", true, "", ""},
		{[]string{"a1", "host1"}, "host1", false, "", ""},
		{[]string{"*.agent.backfleet"}, "*", false, "", ""},
		{[]string{"*.agent.backfleet"}, "a1", false, "", ""},
	} {
		pair, err := tls.LoadX509KeyPair(pairOf(ca.Issue(x.names...)))
		if err != nil {
			t.Fatal(err)
		}
		if got := mtls.IsAgent(pair.Leaf, x.id); got != x.is {
			t.Errorf("%q as agent %q: %v", x.names, x.id, got)
		}
		if role, of := mtls.Role(pair.Leaf); role != x.role || of != x.of {
			t.Errorf("%q: %s %q", x.names, role, of)
		}
	}
	m := load(t, ca.Issue(mtls.AgentName("a1")))
	if err := m.RequireAgent("a1"); err != nil {
		t.Error(err)
	}
	if err := m.RequireAgent("a2"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "a2.agent.backfleet") {
		t.Errorf("as a2: %v", err)
	}
}

func pairOf(f mtls.Files) (cert, key string) { return f.Cert, f.Key }

func TestReload(t *testing.T) {
	ca := mtlstest.NewCA(t)
	files := ca.Issue("old")
	server, client := load(t, files), load(t, ca.Issue("client"))
	config := server.Server()
	ca.IssueTo(files, "new")
	if err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	if s, c, name := meet(t, config, client.Client("new")); s != nil || c != nil || name != "new" {
		t.Errorf("after renewal: %v, %v, %q", s, c, name)
	}
	if err := os.WriteFile(files.Key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Reload(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), files.Key) {
		t.Errorf("a broken key: %v", err)
	}
	if s, c, _ := meet(t, config, client.Client("new")); s != nil || c != nil {
		t.Errorf("the last good one is no longer in use: %v, %v", s, c)
	}
}

func TestLoadRefuses(t *testing.T) {
	files := mtlstest.NewCA(t).Issue("a")
	noCA, badCA, mixed := files, files, files
	noCA.CA, badCA.CA = "", files.Key
	mixed.Key = mtlstest.NewCA(t).Issue("b").Key
	for flag, f := range map[string]mtls.Files{mtls.FlagCA: noCA, mtls.FlagCA + " " + files.Key: badCA, mtls.FlagKey: mixed} {
		if _, err := mtls.Load(f); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%+v: %v; expected %s named", f, err, flag)
		}
	}
}

func TestRequireSecure(t *testing.T) {
	for _, c := range []struct {
		addr            string
		tls, token, any bool
		missing         string // "" when allowed
	}{
		{"127.0.0.1:7400", false, false, false, ""},
		{"127.9.9.9:7400", false, false, false, ""},
		{"[::1]:7400", false, false, false, ""},
		{"localhost:0", false, false, false, ""},
		{":7400", false, false, false, "--tls-cert --tls-key --tls-ca --token-file"},
		{"0.0.0.0:7400", false, false, false, "--tls-cert --tls-key --tls-ca --token-file"},
		{"[::]:7400", true, false, false, "--token-file"},
		{"10.0.0.1:7400", false, true, false, "--tls-cert --tls-key --tls-ca"},
		{"host.example:7400", false, false, false, "--tls-cert"},
		{"10.0.0.1:7400", true, true, false, ""},
		{"0.0.0.0:7400", false, false, true, ""},
	} {
		err := mtls.RequireSecure(c.addr, c.tls, c.token, c.any)
		if c.missing == "" && err != nil || c.missing != "" && (!fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), c.missing)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := mtls.RequireSecure("7400", true, true, true); !fault.Is(err, fault.Invalid) {
		t.Errorf("no port: %v", err)
	}
}
