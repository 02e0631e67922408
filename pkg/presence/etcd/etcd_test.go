package etcd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/presence"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const childEnv = "BACKFLEET_TEST_ETCD"

var agentOne = presence.Member{Kind: presence.Agent, ID: "a1", Address: "127.0.0.1:1", Groups: []string{"default", "gpu/a"}, Meta: map[string]string{"host": "h"}}

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
			err = r.Announce(context.Background(), agentOne, nil)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
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
	if !got[0].Equal(agentOne) {
		t.Errorf("got %+v", got[0])
	}
	for _, key := range []string{"default/a1", "gpu%2Fa/a1"} {
		if got, err := client.Get(t.Context(), "/backfleet/presence/agents/"+key); err != nil || len(got.Kvs) != 1 || got.Kvs[0].Lease == 0 {
			t.Errorf("%s: %v, %v", key, got, err)
		}
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
		ended <- r.Announce(ctx, presence.Member{Kind: presence.Coordinator, ID: "c1", Leader: true}, nil)
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
	for name, m := range map[string]presence.Member{
		"id with a slash": {Kind: presence.Agent, ID: "a/b", Groups: []string{"default"}}, "no group": {Kind: presence.Agent, ID: "a"},
	} {
		if err := r.Announce(t.Context(), m, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := []string{"127.0.0.1:1"}
	for says, o := range map[string]Options{
		FlagEndpoints:         {},
		`"nowhere"`:           {Endpoints: []string{"nowhere"}},
		"is not secured":      {Endpoints: []string{"http://127.0.0.1:1"}, CA: "ca.pem"},
		"--etcd-ca: missing":  {Endpoints: at, Cert: "c", Key: "k"},
		"--etcd-cert and":     {Endpoints: at, CA: "c", Cert: "c"},
		"no PEM certificate":  {Endpoints: at, CA: file("x")},
		"--etcd-login cannot": {Endpoints: at, Login: "/nowhere"},
		"user:password":       {Endpoints: at, Login: file("hunter2\n")},
	} {
		if _, err := Open(o); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v, expected %q", o, err, says)
		}
	}
}

// An etcd that is away costs a bounded time and an answer, not a hang.
func TestNobodyThere(t *testing.T) {
	for _, login := range []string{"", "u:p"} {
		o := Options{Endpoints: []string{freeURL(t).Host}}
		if login != "" {
			o.Login = filepath.Join(t.TempDir(), "login")
			if err := os.WriteFile(o.Login, []byte(login), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := r.List(t.Context(), presence.Agent); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), o.Endpoints[0]) {
			t.Errorf("list: %v", err)
		}
		if took := time.Since(began); took > 4*within {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Announce(ctx, agentOne, nil) }()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the announcement does not end")
		}
		r.Close()
		r.Close()
		if _, err := r.List(t.Context(), presence.Agent); !fault.Is(err, fault.Unavailable) {
			t.Errorf("after its end: %v", err)
		}
	}
}
