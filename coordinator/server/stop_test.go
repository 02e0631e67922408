package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"backfleet/pkg/wire"
)

// three starts the coordinators of a cluster and waits until the first one leads and
// all of them can serve.
func three(t *testing.T) (all []*Server) {
	t.Helper()
	dir := t.TempDir()
	for i := range 3 {
		id := fmt.Sprintf("c%d", i+1)
		cfg := Config{ID: id, DataDir: filepath.Join(dir, id), HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Raft: "127.0.0.1:0", Bootstrap: i == 0}
		if i > 0 {
			cfg.Join = []string{all[0].RPCAddress()}
		}
		s, err := Start(within(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Stop(context.Background()) })
		all = append(all, s)
	}
	for _, s := range all {
		until(t, s.cfg.ID+" is ready, and a voter among three", func() bool {
			members, err := s.node.Servers()
			voters := 0
			for _, m := range members {
				if m.Voter {
					voters++
				}
			}
			code, _ := asked(t, s.HTTPAddress()+"/readyz")
			return err == nil && voters == 3 && code == http.StatusOK
		})
	}
	return all
}

// asked is what a path answers.
func asked(t *testing.T, url string) (code int, text string) {
	t.Helper()
	got, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer got.Body.Close()
	b, _ := io.ReadAll(got.Body)
	return got.StatusCode, string(b)
}

// saysHello begins an agent's session, and says what it is told.
func saysHello(t *testing.T, address string) (grpc.BidiStreamingClient[wire.AgentMessage, wire.LeaderMessage], error) {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	session, err := wire.NewAgentsClient(cc).Session(within(t))
	if err != nil {
		return nil, err
	}
	hello := &wire.Hello{Agent: &wire.Agent{Id: "a1", Incarnation: "i", Groups: []*wire.GroupSlots{{Group: "default", Slots: 1}}}}
	if err := session.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: hello}}); err != nil && err != io.EOF {
		return nil, err
	}
	m, err := session.Recv()
	if err == nil && m.GetWelcome() == nil {
		err = fmt.Errorf("told %v", m)
	}
	return session, err
}

// TestStopIsInOrder stops the leader of three while somebody follows events, somebody
// else is in the middle of a request, and an agent is connected.
func TestStopIsInOrder(t *testing.T) {
	all := three(t)
	s := all[0]
	until(t, "the first leads", func() bool { return s.agents.Inspect(within(t), nothing) == nil })
	session, err := saysHello(t, s.RPCAddress())
	if err != nil {
		t.Fatal(err)
	}
	events, err := http.Get(s.HTTPAddress() + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()

	// A request of which half has come.
	body, rest := io.Pipe()
	request, err := http.NewRequestWithContext(within(t), http.MethodPut, s.HTTPAddress()+"/v1/nodes", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "k")
	type answer struct {
		code int
		text string
	}
	answered := make(chan answer, 1)
	go func() {
		got, err := http.DefaultClient.Do(request)
		if err != nil {
			answered <- answer{0, err.Error()}
			return
		}
		defer got.Body.Close()
		b, _ := io.ReadAll(got.Body)
		answered <- answer{got.StatusCode, string(b)}
	}()
	if _, err := io.WriteString(rest, `{"nodes":[{"id":"a","type":"shell",`); err != nil {
		t.Fatal(err)
	}

	// What is so at the very beginning of the end: nothing has ended yet.
	began := make(chan struct{})
	s.onStop(func(context.Context) error {
		defer close(began)
		if code, text := asked(t, s.HTTPAddress()+"/readyz?verbose"); code != http.StatusServiceUnavailable || !strings.Contains(text, "[-] staying: failed: ") || !strings.Contains(text, "[+] leader: ok") {
			t.Errorf("first of all it is asked whether it is ready: %d %s", code, text)
		}
		if code, text := asked(t, s.HTTPAddress()+"/healthz"); code != http.StatusOK {
			t.Errorf("it is alive: %d %s", code, text)
		}
		if !s.node.IsLeader() {
			t.Error("it has ceased to lead before it says that it is not ready")
		}
		return nil
	})
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(within(t)) }()
	<-began

	// Its agent is told, and another coordinator takes it in.
	for err == nil {
		_, err = session.Recv()
	}
	if code := status.Code(err); code != codes.Unavailable && code != codes.FailedPrecondition {
		t.Errorf("its agent's session ends with %v", err)
	}
	until(t, "another coordinator takes the agent in", func() bool {
		for _, other := range all[1:] {
			if _, err := saysHello(t, other.RPCAddress()); err == nil {
				return true
			}
		}
		return false
	})

	// The stream of events says why it ends.
	var last string
	for lines := bufio.NewScanner(events.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") {
			last = lines.Text()
		}
	}
	if !strings.Contains(last, "shutting down: go on at another") {
		t.Errorf("the last that a stream says is %q", last)
	}

	// The request under way gets its answer, from whoever leads now.
	select {
	case err := <-stopped:
		t.Fatalf("it has stopped although a request is under way: %v", err)
	default:
	}
	if _, err := io.WriteString(rest, `"code":"true","resourceGroup":"default"}]}`); err != nil {
		t.Fatal(err)
	}
	_ = rest.Close()
	if got := <-answered; got.code != http.StatusOK {
		t.Errorf("the request under way is answered with %d %s", got.code, got.text)
	}
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("it stopped with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not stop")
	}
}
