package etcd

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/presence"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const childEnv = "BACKFLEET_TEST_ETCD"

// TestMain: with the variable set, this binary is the agent process that the
// test kills.
func TestMain(m *testing.M) {
	endpoint := os.Getenv(childEnv)
	if endpoint == "" {
		os.Exit(m.Run())
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err == nil {
		var r *Registry
		if r, err = New(client, Config{Lease: time.Second}); err == nil {
			err = r.Announce(context.Background(), presence.Member{Kind: presence.Agent, ID: "a1", Address: "127.0.0.1:1", Meta: map[string]string{"group": "default"}})
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func freeURL(t *testing.T) url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}

func server(t *testing.T) *clientv3.Client {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel = t.TempDir(), "fatal"
	client, peer := freeURL(t), freeURL(t)
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.Name + "=" + peer.String()
	cfg.TickMs, cfg.ElectionMs = 20, 200 // the shortest lease is 1.5 elections
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		t.Fatal("etcd is not ready")
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{client.String()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// until reads lists until one fits.
func until(t *testing.T, ch <-chan []presence.Member, what string, fits func([]presence.Member) bool) []presence.Member {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case list, open := <-ch:
			if !open {
				t.Fatalf("watch ended before: %s", what)
			}
			if fits(list) {
				return list
			}
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func none(l []presence.Member) bool { return len(l) == 0 }
func one(l []presence.Member) bool  { return len(l) == 1 }

func TestAgentProcessDies(t *testing.T) {
	client := server(t)
	r, err := New(client, Config{Lease: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ch, err := r.Watch(t.Context(), presence.Agent)
	if err != nil {
		t.Fatal(err)
	}
	until(t, ch, "nobody at first", none)

	agent := exec.Command(os.Args[0])
	agent.Env = append(os.Environ(), childEnv+"="+client.Endpoints()[0])
	agent.Stderr = os.Stderr
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Process.Kill() })
	got := until(t, ch, "the agent is seen", one)
	want := presence.Member{Kind: presence.Agent, ID: "a1", Address: "127.0.0.1:1", Meta: map[string]string{"group": "default"}}
	if !got[0].Equal(want) {
		t.Errorf("got %+v", got[0])
	}
	if coordinators, err := r.List(t.Context(), presence.Coordinator); err != nil || len(coordinators) != 0 {
		t.Errorf("coordinators: %v, %v", coordinators, err)
	}
	// Alive beyond several leases: it renews.
	select {
	case list := <-ch:
		t.Fatalf("changed while it lives: %v", list)
	case <-time.After(3 * time.Second):
	}
	killed := time.Now()
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
	until(t, ch, "the agent is gone", none)
	t.Logf("gone %s after its SIGKILL", time.Since(killed))
}

func TestLossAndGoodbye(t *testing.T) {
	client := server(t)
	r, err := New(client, Config{Lease: 3 * time.Second, Retry: 16 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ch, err := r.Watch(t.Context(), presence.Coordinator)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- r.Announce(ctx, presence.Member{Kind: presence.Coordinator, ID: "c1", Leader: true})
	}()
	got := until(t, ch, "registered", one)
	if leader, ok := presence.Leader(got); !ok || leader.ID != "c1" {
		t.Errorf("leader: %v", got)
	}
	first := held(t, client, r)
	if _, err := client.Revoke(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	// The removal may be folded into what follows; the new lease tells.
	until(t, ch, "registered again", func(l []presence.Member) bool { return one(l) && held(t, client, r) != first })

	cancel()
	if err := <-ended; err != nil {
		t.Errorf("announce: %v", err)
	}
	// The lease is given back, not left to run out.
	if list, err := r.List(t.Context(), presence.Coordinator); err != nil || len(list) != 0 {
		t.Errorf("after the goodbye: %v, %v", list, err)
	}
	until(t, ch, "goodbye", none)
}

func held(t *testing.T, client *clientv3.Client, r *Registry) clientv3.LeaseID {
	t.Helper()
	got, err := client.Get(t.Context(), r.folder(presence.Coordinator)+"c1")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) == 0 {
		return 0
	}
	return clientv3.LeaseID(got.Kvs[0].Lease)
}

func TestRefusals(t *testing.T) {
	for _, lease := range []time.Duration{time.Millisecond, 1500 * time.Millisecond} {
		if _, err := New(nil, Config{Lease: lease}); !fault.Is(err, fault.Invalid) {
			t.Errorf("lease %s: %v", lease, err)
		}
	}
	r, err := New(nil, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Announce(t.Context(), presence.Member{Kind: presence.Agent, ID: "a/b"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("id with a slash: %v", err)
	}
}
