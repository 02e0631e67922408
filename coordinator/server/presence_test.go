package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/presence"
)

// register is a presence.Registry of a test.
type register struct {
	announced chan presence.Member
	agents    chan []presence.Member
}

func (r register) Announce(ctx context.Context, m presence.Member, changes <-chan presence.Member) error {
	for r.announced <- m; ; r.announced <- m {
		select {
		case m = <-changes:
		case <-ctx.Done():
			return nil
		}
	}
}

func (r register) List(context.Context, presence.Kind) ([]presence.Member, error) { return nil, nil }

func (r register) Watch(context.Context, presence.Kind) (<-chan []presence.Member, error) {
	return r.agents, nil
}

func TestTheDirectorySaysWhoLeadsAndWhoLives(t *testing.T) {
	r := register{make(chan presence.Member, 10), make(chan []presence.Member, 1)}
	s := alone(t, Config{Announcer: r, Directory: r})
	t.Cleanup(func() { close(r.agents) }) // before the coordinator's end, which waits for who follows
	for leads := false; !leads; {
		select {
		case m := <-r.announced:
			if leads = m.Leader; leads && (m.Term == 0 || m.ID != "c1" || m.Address != s.RPCAddress()) {
				t.Errorf("announced %+v", m)
			}
		case <-within(t).Done():
			t.Fatal("nobody was told that it leads")
		}
	}
	if got := scrape(t, s); strings.Contains(got, "backfleet_directory_agents{") {
		t.Error("agents are counted before they are known")
	}
	r.agents <- []presence.Member{{Kind: presence.Agent, ID: "a1", Groups: []string{"etl", "default"}}, {Kind: presence.Agent, ID: "a2", Groups: []string{"etl"}}}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got := scrape(t, s)
		if strings.Contains(got, `backfleet_directory_agents{group="etl",session="no"} 2`) && strings.Contains(got, `backfleet_directory_agents{group="default",session="yes"} 0`) {
			return
		}
		select {
		case <-tick.C:
		case <-within(t).Done():
			t.Fatalf("the figures do not show them:\n%s", got)
		}
	}
}

func TestCertifyingClientsNeedsTLS(t *testing.T) {
	_, err := Start(t.Context(), Config{ID: "c1", DataDir: t.TempDir(), CertifyClients: true})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("got %v", err)
	}
}
