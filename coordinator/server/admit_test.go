package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/state"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/mtlstest"
	"backfleet/pkg/wire"
)

const (
	fileSecret = "the-secret-of-the-token-file"
	annsSecret = "the-s3cret-of-an-admin"
)

// bearer shows a secret.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// guardedServer is a coordinator with a token file, whose clock can be moved.
func guardedServer(t *testing.T, cfg Config) (s *Server, ahead *atomic.Int64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("agents:"+fileSecret+" role=agent\nann:"+annsSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ahead = &atomic.Int64{}
	cfg.TokenFile, cfg.Now = file, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	return alone(t, cfg), ahead
}

func (s *Server) put(t *testing.T, c *wire.Command) {
	t.Helper()
	if _, _, err := s.log.Propose(within(t), c); err != nil {
		t.Fatal(err)
	}
}

func joinToken(id, text string, expires time.Time, groups ...string) *wire.Command {
	x := &wire.PutJoinToken{Id: id, SecretHash: state.TokenHash(text), Groups: groups}
	if !expires.IsZero() {
		x.ExpiresMs = expires.UnixMilli()
	}
	return &wire.Command{Actor: "ann", Body: &wire.Command_PutJoinToken{PutJoinToken: x}}
}

func revocation(id string) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_RevokeJoinToken{RevokeJoinToken: &wire.RevokeJoinToken{Id: id}}}
}

// visit is a connection with some credentials.
func visit(t *testing.T, s *Server, secret string, certificate *mtls.Files) *grpc.ClientConn {
	t.Helper()
	transport := insecure.NewCredentials()
	if certificate != nil {
		material, err := mtls.Load(*certificate)
		if err != nil {
			t.Fatal(err)
		}
		transport = credentials.NewTLS(material.Client(""))
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if secret != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(secret)))
	}
	cc, err := grpc.NewClient("passthrough:///"+s.RPCAddress(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// hello begins a session, and gives it with the first answer.
func hello(t *testing.T, cc *grpc.ClientConn, a *wire.Agent) (grpc.BidiStreamingClient[wire.AgentMessage, wire.LeaderMessage], error) {
	t.Helper()
	session, err := wire.NewAgentsClient(cc).Session(within(t))
	if err != nil {
		return nil, err
	}
	// Who is refused before may not be able to send: the answer says why.
	_ = session.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: &wire.Hello{Agent: a}}})
	m, err := session.Recv()
	if err == nil && m.GetWelcome() == nil {
		t.Fatalf("answered with %v", m)
	}
	return session, err
}

// endOf reads a stream until it ends.
func endOf[T any](s interface{ Recv() (T, error) }) error {
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

func agentIn(id, group string) *wire.Agent {
	return &wire.Agent{Id: id, Incarnation: "i", StartedBy: "made-up", Groups: []*wire.GroupSlots{{Group: group, Slots: 2}}}
}

func refusedWith(t *testing.T, err error, code codes.Code, says ...string) {
	t.Helper()
	for _, text := range says {
		if !strings.Contains(status.Convert(err).Message(), text) {
			t.Errorf("got %v, expected it to say %q", err, text)
		}
	}
	if status.Code(err) != code || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v, expected %s, without the secret", err, code)
	}
}

func TestR14_4_JoinTokensLetAgentsIn(t *testing.T) {
	s, ahead := guardedServer(t, Config{})
	s.put(t, joinToken("east", "bfj_east_s3cret", s.cfg.Now().Add(time.Hour), "etl"))

	_, err := hello(t, visit(t, s, "", nil), agentIn("a1", "etl"))
	refusedWith(t, err, codes.Unauthenticated, "expected a token of this cluster")
	_, err = hello(t, visit(t, s, "bfj_east_s3creT", nil), agentIn("a1", "etl"))
	refusedWith(t, err, codes.Unauthenticated, `join token "east" is not known`)
	_, err = hello(t, visit(t, s, "bfj_west_s3cret", nil), agentIn("a1", "etl"))
	refusedWith(t, err, codes.Unauthenticated, `join token "west" is not known`)
	_, err = hello(t, visit(t, s, "bfj_east_s3cret", nil), agentIn("a1", "big"))
	refusedWith(t, err, codes.PermissionDenied, `"east" is not for resource group "big"`)

	if _, err = hello(t, visit(t, s, "bfj_east_s3cret", nil), agentIn("a1", "etl")); err != nil {
		t.Fatal(err)
	}
	if a, ok := s.machine.State().Agent("a1"); !ok || a.StartedBy != "east" {
		t.Errorf("registered as %v", a)
	}
	if _, err = hello(t, visit(t, s, fileSecret, nil), agentIn("a2", "big")); err != nil {
		t.Fatal(err)
	}
	if a, ok := s.machine.State().Agent("a2"); !ok || a.StartedBy != "" {
		t.Errorf("let in by the token file, it is registered as %v", a)
	}
	// They open nothing else, and what is for people lets no agent in.
	for _, secret := range []string{"", "bfj_east_s3cret", fileSecret} {
		_, err = wire.NewPeerClient(visit(t, s, secret, nil)).ReadIndex(within(t), &wire.ReadIndexRequest{})
		refusedWith(t, err, codes.Unauthenticated, "coordinators know each other by the secret of an admin")
	}
	if _, err = wire.NewPeerClient(visit(t, s, annsSecret, nil)).ReadIndex(within(t), &wire.ReadIndexRequest{}); err != nil {
		t.Errorf("another coordinator: %v", err)
	}
	for _, secret := range []string{annsSecret, "bft_u1_s3cret"} {
		_, err = hello(t, visit(t, s, secret, nil), agentIn("a4", "etl"))
		refusedWith(t, err, codes.Unauthenticated)
	}

	ahead.Store(int64(2 * time.Hour))
	_, err = hello(t, visit(t, s, "bfj_east_s3cret", nil), agentIn("a3", "etl"))
	refusedWith(t, err, codes.Unauthenticated, `"east" has expired`)
}

func TestR14_4_ExpiryAndRevocationEndSessions(t *testing.T) {
	s, ahead := guardedServer(t, Config{Terms: dispatch.Terms{Lease: 24 * time.Hour}})
	s.put(t, joinToken("t", "bfj_t_s3cret", time.Time{}))
	s.put(t, joinToken("short", "bfj_short_s3cret", s.cfg.Now().Add(time.Hour)))
	revoked, err := hello(t, visit(t, s, "bfj_t_s3cret", nil), agentIn("a1", "etl"))
	if err != nil {
		t.Fatal(err)
	}
	expiring, err := hello(t, visit(t, s, "bfj_short_s3cret", nil), agentIn("a2", "etl"))
	if err != nil {
		t.Fatal(err)
	}
	logs, err := wire.NewAgentsClient(visit(t, s, "bfj_t_s3cret", nil)).ShipLogs(within(t))
	if err != nil {
		t.Fatal(err)
	}
	chunk := &wire.LogChunk{Ref: &wire.AttemptRef{Plan: 1, Attempt: 1, Fence: 1}, Last: true}
	if err := logs.Send(chunk); err != nil {
		t.Fatal(err)
	}
	if _, err := logs.Recv(); err != nil {
		t.Fatal(err)
	}
	s.put(t, revocation("t"))
	err = endOf(revoked) // at once, without a word of the agent
	refusedWith(t, err, codes.Aborted, `join token "t" is not known: it was revoked`)
	_ = logs.Send(chunk)
	refusedWith(t, endOf(logs), codes.Unauthenticated, `join token "t" is not known: it was revoked`)
	_, err = hello(t, visit(t, s, "bfj_t_s3cret", nil), agentIn("a1", "etl"))
	refusedWith(t, err, codes.Unauthenticated)

	ahead.Store(int64(2 * time.Hour))
	_ = expiring.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Report{Report: &wire.Report{Seq: 1, Renews: true}}})
	refusedWith(t, endOf(expiring), codes.Unauthenticated, `join token "short" has expired`)
}

// The token file holds while it names a secret.
func TestR15_3_ASecretThatLeftTheFileEndsSessions(t *testing.T) {
	s, _ := guardedServer(t, Config{Terms: dispatch.Terms{Lease: 24 * time.Hour}})
	session, err := hello(t, visit(t, s, fileSecret, nil), agentIn("a1", "etl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.cfg.TokenFile, []byte("ann:"+annsSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tokens.mu.Lock()
	s.tokens.checked = time.Time{} // it is looked at every other second
	s.tokens.mu.Unlock()
	_ = session.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Report{Report: &wire.Report{Seq: 1, Renews: true}}})
	refusedWith(t, endOf(session), codes.Unauthenticated, "not in the coordinators' token file any more")
	_, err = hello(t, visit(t, s, fileSecret, nil), agentIn("a1", "etl"))
	refusedWith(t, err, codes.Unauthenticated, "expected a token of this cluster")
}

// Where no secret is asked for, a join token that is shown counts all the same.
func TestR14_4_AJoinTokenThatIsShownCounts(t *testing.T) {
	s := alone(t, Config{})
	if _, err := hello(t, visit(t, s, "", nil), agentIn("a1", "etl")); err != nil {
		t.Fatal(err)
	}
	_, err := hello(t, visit(t, s, "bfj_t_s3cret", nil), agentIn("a2", "etl"))
	refusedWith(t, err, codes.Unauthenticated, `"t" is not known`)
}

func TestR14_4_AnAgentIsWhoItsCertificateSays(t *testing.T) {
	ca := mtlstest.NewCA(t)
	s, _ := guardedServer(t, Config{TLS: ca.Issue(mtls.CoordinatorName("c1"))})
	mine := ca.Issue(mtls.AgentName("a1"))
	s.put(t, joinToken("t", "bfj_t_s3cret", time.Time{}))
	for _, secret := range []string{fileSecret, "bfj_t_s3cret"} {
		_, err := hello(t, visit(t, s, secret, &mine), agentIn("a2", "etl"))
		refusedWith(t, err, codes.PermissionDenied, `agent "a2"`, "agent a1", mtls.AgentName("a2"))
		if _, err = hello(t, visit(t, s, secret, &mine), agentIn("a1", "etl")); err != nil {
			t.Fatal(err)
		}
	}
	coordinator := ca.Issue(mtls.CoordinatorName("a1"))
	_, err := hello(t, visit(t, s, fileSecret, &coordinator), agentIn("a1", "etl"))
	refusedWith(t, err, codes.PermissionDenied, "is for agents", "coordinator a1", mtls.AgentName("ID"))
	_, err = hello(t, visit(t, s, "", &mine), agentIn("a1", "etl"))
	refusedWith(t, err, codes.Unauthenticated, "expected a token")
}

// What was once acknowledged is part of a log for good, so only the agent that
// runs an attempt may add to it.
func TestR14_4_LogsComeFromTheAgentThatRanTheAttempt(t *testing.T) {
	ca := mtlstest.NewCA(t)
	s, _ := guardedServer(t, Config{TLS: ca.Issue(mtls.CoordinatorName("c1"))})
	mine, others := ca.Issue(mtls.AgentName("a1")), ca.Issue(mtls.AgentName("a2"))
	s.put(t, &wire.Command{Actor: "ann", Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{{Id: "n", Code: "true", ResourceGroup: "etl"}}}}})
	s.put(t, &wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: &wire.Request{Mode: wire.Request_CURRENT, Root: "n", Dates: []*wire.DateRange{{From: 15000, To: 15000}}},
		Today:   15001, ClusterZone: "UTC", Zones: []*wire.Zone{{Name: "UTC"}},
	}}})
	session, err := hello(t, visit(t, s, fileSecret, &mine), agentIn("a1", "etl"))
	if err != nil {
		t.Fatal(err)
	}
	var ref *wire.AttemptRef
	for ref == nil {
		m, err := session.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range m.GetAssign().GetWork() {
			ref = w.Ref
		}
	}
	ship := func(certificate *mtls.Files, ref *wire.AttemptRef, more ...*wire.LogChunk) error {
		stream, err := wire.NewAgentsClient(visit(t, s, fileSecret, certificate)).ShipLogs(within(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&wire.LogChunk{Ref: ref, Last: true, More: more}) // who is refused is told by the answer
		ack, err := stream.Recv()
		if err == nil && ack.Error != "" {
			t.Error(ack.Error)
		}
		return err
	}
	unknown := &wire.AttemptRef{Plan: 77, Attempt: 1, Fence: 1}
	refusedWith(t, ship(&others, ref), codes.PermissionDenied, "certificate of agent a2", `agent "a1" ran it`)
	refusedWith(t, ship(&others, unknown, &wire.LogChunk{Ref: ref, Last: true}), codes.PermissionDenied, `agent "a1" ran it`)
	if err := ship(&mine, ref); err != nil {
		t.Errorf("its own agent: %v", err)
	}
	if err := ship(&others, unknown); err != nil {
		t.Errorf("an attempt that is not known any more: %v", err)
	}
}

func TestContactsOfALeader(t *testing.T) {
	s := alone(t, Config{})
	if _, err := hello(t, visit(t, s, "", nil), agentIn("a1", "etl")); err != nil {
		t.Fatal(err)
	}
	seen, err := s.seen(within(t))
	if a := seen["a1"]; err != nil || !a.Connected || a.At.IsZero() || len(seen) != 1 {
		t.Errorf("seen are %v, %v", seen, err)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if seen, err := s.seen(context.Background()); err == nil {
		t.Errorf("after its end it tells %v", seen)
	}
}
