package secure

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"backfleet/ops/demo/fleet"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/mtlstest"
	"backfleet/pkg/wire"
)

const (
	secret = "s3cret-of-the-operator-0123456789"
	other  = "s3cret-of-the-agents-9876543210"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tlsFlags(f mtls.Files) []string {
	return []string{"--tls-cert", f.Cert, "--tls-key", f.Key, "--tls-ca", f.CA}
}

// site is a secured cluster with what its people hold.
type site struct {
	ca        *mtlstest.CA
	agentCert mtls.Files
	all       []coordinator
	client    cli
	processes []*fleet.Process
}

func secured(t *testing.T, dir string, n int, more ...string) *site {
	s := &site{ca: mtlstest.NewCA(t)}
	s.agentCert = s.ca.Issue("a1")
	s.client = cli{t, []string{"--ca", s.agentCert.CA, "--token-file", file(t, secret+"\n")}}
	tokens := file(t, "operator:"+secret+"\nagents:"+other+" role=agent\n")
	s.all = members(t, dir, n, "https://", s.client, func(id string) []string {
		files := s.ca.Issue(mtls.CoordinatorName(id), id)
		return slices.Concat(tlsFlags(files), []string{"--data", filepath.Join(dir, id), "--token-file", tokens, "--log-level", "debug", "--pprof", "127.0.0.1:0"}, more)
	})
	for _, c := range s.all {
		s.processes = append(s.processes, c.Process)
	}
	return s
}

func (s *site) rpcs() string {
	var all []string
	for _, c := range s.all {
		all = append(all, c.rpc)
	}
	return strings.Join(all, ",")
}

// A cluster with certificates and tokens everywhere does all its work, by a
// follower as well, and gives nothing away.
func TestSecuredClusterWorks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := secured(t, dir, 3)
	agent := agentProcess(t, dir, append(tlsFlags(s.agentCert), "--coordinators", s.rpcs(), "--token-file", file(t, other), "--log-level", "debug", "--pprof", "127.0.0.1:0")...)
	s.processes = append(s.processes, agent)

	leads := leader(t, s.all, "https://", s.client)
	follower := s.all[slices.IndexFunc(s.all, func(c coordinator) bool { return c.id != leads.id })]
	c := s.client
	c.flags = append([]string{"--server", "https://" + follower.http}, c.flags...)
	c.must("node", "apply", "-f", nodes(t))
	watched := c.run("backfill", "submit", "--node", "hello", "--dates", "2024-01-01..2024-01-03", "--watch")
	if watched.exit != 0 {
		t.Fatalf("watch: exit %d\n%s%s", watched.exit, watched.out, watched.err)
	}
	until(t, "the log is there", func() (bool, error) {
		got := c.run("instance", "logs", "b1.1")
		return strings.Contains(got.out, "hello 2024010"), nil
	})
	if got := c.must("cluster", "status"); strings.Count(got, "https://") != 3 {
		t.Errorf("cluster status:\n%s", got)
	}
	if got := c.must("agent", "list"); !strings.Contains(got, "a1") {
		t.Errorf("agent list:\n%s", got)
	}
	// Leadership goes to exactly the named one, asked of a follower.
	c.must("cluster", "transfer", "--to", follower.id)
	until(t, follower.id+" leads", func() (bool, error) {
		cluster, err := c.cluster("https://" + follower.http)
		return cluster.Leader == follower.id, err
	})
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-02-01", "--wait")

	for _, p := range s.processes {
		text := output(p)
		if strings.Contains(text, secret) || strings.Contains(text, other) {
			t.Errorf("%s wrote a secret", p.Name)
		}
		if !strings.Contains(text, "profiles are served") {
			t.Errorf("%s serves no profiles, or its log is elsewhere", p.Name)
		}
	}
	if strings.Contains(watched.out+watched.err, secret) {
		t.Error("the command line printed the token")
	}
}

// Who does not prove who they are is turned away, each with words that help.
func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := secured(t, dir, 1)
	c := s.all[0]
	server := "https://" + c.http

	t.Run("http", func(t *testing.T) {
		ca := []string{"--server", server, "--ca", s.agentCert.CA}
		cli{t, append(ca, "--token-file", file(t, "not-"+secret))}.refused(5, "valid token", "cluster", "status")
		cli{t, ca}.refused(5, "valid token", "node", "list")
		cli{t, []string{"--server", "http://" + c.http, "--timeout", "2s"}}.refused(2, "speaks https", "cluster", "status")
		cli{t, []string{"--server", server, "--timeout", "1s", "--ca", mtlstest.NewCA(t).Issue("x").CA}}.refused(6, "certificate", "cluster", "status")
		material, err := mtls.Load(s.agentCert)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: material.Client("")}}
		defer client.CloseIdleConnections()
		for _, path := range []string{"/v1/cluster", "/metrics"} {
			got, err := client.Get(server + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(got.Body)
			_ = got.Body.Close()
			if got.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), `"unauthenticated"`) {
				t.Errorf("%s with a certificate and no token: %s %s", path, got.Status, body)
			}
		}
	})
	t.Run("rpc", func(t *testing.T) { s.rpcStrangers(t, c) })
	t.Run("raft", func(t *testing.T) {
		material, err := mtls.Load(s.agentCert)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tls.Dial("tcp", c.raft, material.Client(""))
		if err == nil { // in TLS 1.3 the refusal comes with the first answer
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = conn.Write([]byte{0})
			_, err = conn.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "tls:") {
			t.Errorf("an agent's certificate on the raft port: %v", err)
		}
	})
	t.Run("agent", func(t *testing.T) {
		p := start(t, "stranger", t.TempDir(), append([]string{"agent", "--id", "a1", "--data", t.TempDir(), "--group", "default=1",
			"--coordinators", c.rpc, "--token-file", file(t, "not-"+other), "--log-format", "json"}, tlsFlags(s.agentCert)...)...)
		until(t, "the agent says why", func() (bool, error) { return strings.Contains(output(p), "expected a token of this cluster"), nil })
		if strings.Contains(output(p), other) {
			t.Error("it wrote its token")
		}
	})
}

// rpcStrangers tries the port for agents and coordinators.
func (s *site) rpcStrangers(t *testing.T, c coordinator) {
	material, err := mtls.Load(s.agentCert)
	if err != nil {
		t.Fatal(err)
	}
	bare := material.Client("")
	bare.GetClientCertificate = nil
	call := func(config *tls.Config, token string, do func(context.Context, *grpc.ClientConn) error) error {
		options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}
		if token != "" {
			options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
		}
		cc, err := grpc.NewClient("passthrough:///"+c.rpc, options...)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		return do(within(t), cc)
	}
	session := func(ctx context.Context, cc *grpc.ClientConn) error {
		stream, err := wire.NewAgentsClient(cc).Session(ctx)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	// In TLS 1.3 the server's refusal may arrive before or after the first
	// write: either way there is no session.
	if err := call(bare, other, session); status.Code(err) != codes.Unavailable {
		t.Errorf("no certificate: %v", err)
	}
	if err := call(material.Client(""), "", session); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no token: %v", err)
	}
	for name, do := range map[string]func(context.Context, *grpc.ClientConn) error{
		"Join": func(ctx context.Context, cc *grpc.ClientConn) error {
			_, err := wire.NewPeerClient(cc).Join(ctx, &wire.JoinRequest{Server: &wire.PutServer{Id: "x", RaftAddress: "127.0.0.1:1", RpcAddress: "127.0.0.1:1", HttpAddress: "http://127.0.0.1:1"}})
			return err
		},
		"ReadIndex": func(ctx context.Context, cc *grpc.ClientConn) error {
			_, err := wire.NewPeerClient(cc).ReadIndex(ctx, &wire.ReadIndexRequest{})
			return err
		},
		"AppendLogs": func(ctx context.Context, cc *grpc.ClientConn) error {
			stream, err := wire.NewPeerClient(cc).AppendLogs(ctx)
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"ReadLog": func(ctx context.Context, cc *grpc.ClientConn) error {
			stream, err := wire.NewPeerClient(cc).ReadLog(ctx, &wire.ReadLogRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	} {
		if err := call(material.Client(""), other, do); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "for coordinators") {
			t.Errorf("an agent that calls %s: %v", name, err)
		}
	}
	files := s.ca.Issue(mtls.CoordinatorName("c2"))
	coordinators, err := mtls.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := call(coordinators.Client(""), "", func(ctx context.Context, cc *grpc.ClientConn) error {
		_, err := wire.NewPeerClient(cc).ReadIndex(ctx, &wire.ReadIndexRequest{})
		return err
	}); err != nil {
		t.Errorf("a coordinator: %v", err)
	}
}

type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

// What would listen beyond the loopback without protection does not start, and
// says what is missing.
func TestOpenPortsAreRefused(t *testing.T) {
	t.Parallel()
	ca := mtlstest.NewCA(t)
	mine, wrong := ca.Issue(mtls.CoordinatorName("c1")), ca.Issue("a1")
	base := []string{"coordinator", "--id", "c1", "--data", filepath.Join(t.TempDir(), "c1"), "--bootstrap", "--raft", "127.0.0.1:0"}
	for _, x := range []struct {
		flags []string
		exit  int
		says  string
	}{
		{[]string{"--rpc", "127.0.0.1:0", "--http", "0.0.0.0:0"}, 5, "--tls-cert --tls-key --tls-ca --token-file"},
		{[]string{"--http", "127.0.0.1:0", "--rpc", ":0"}, 5, "--tls-cert --tls-key --tls-ca --token-file"},
		{append(tlsFlags(mine), "--http", "127.0.0.1:0", "--rpc", "0.0.0.0:0"), 5, "without TLS and a token: give --token-file"},
		{append(tlsFlags(wrong), "--http", "127.0.0.1:0", "--rpc", "127.0.0.1:0"), 2, "c1.coordinator.backfleet"},
		{[]string{"--http", "127.0.0.1:0", "--rpc", "127.0.0.1:0", "--pprof", "0.0.0.0:0"}, 5, "--pprof"},
		{[]string{"--http", "127.0.0.1:0", "--rpc", "127.0.0.1:0", "--etcd", "nowhere"}, 2, "--etcd"},
	} {
		cli{t, x.flags}.refused(x.exit, x.says, base...)
	}
	cli{t, nil}.refused(2, "TLS is needed", "agent", "--data", t.TempDir(), "--group", "default=1", "--coordinators", "10.1.2.3:8471")
}
