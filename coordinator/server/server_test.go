package server

import (
	"context"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"backfleet/coordinator/schedule"
	"backfleet/pkg/fault"
	"backfleet/pkg/presence"
	"backfleet/pkg/wire"
)

// board is an Announcer that shows who is there.
type board chan presence.Member

func (b board) Announce(ctx context.Context, m presence.Member, _ <-chan presence.Member) error {
	b <- m
	<-ctx.Done()
	b <- presence.Member{}
	return nil
}

func nothing(*schedule.Scheduler) {}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// alone starts the only coordinator of a cluster and waits until it leads.
func alone(t *testing.T, cfg Config) *Server {
	t.Helper()
	cfg.ID, cfg.DataDir, cfg.Bootstrap = "c1", filepath.Join(t.TempDir(), "c1"), true
	cfg.HTTP, cfg.RPC, cfg.Raft = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s, err := Start(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.agents.Inspect(within(t), nothing) != nil {
		select {
		case <-tick.C:
		case <-within(t).Done():
			t.Fatal("it does not lead")
		}
	}
	return s
}

func scrape(t *testing.T, s *Server) string {
	t.Helper()
	got, err := http.Get(s.HTTPAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", got.Status, err)
	}
	return string(text)
}

func TestMetricsTellWhatIs(t *testing.T) {
	s := alone(t, Config{Version: "v9"})
	cc, err := grpc.NewClient("passthrough:///"+s.RPCAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	session, err := wire.NewAgentsClient(cc).Session(within(t))
	if err != nil {
		t.Fatal(err)
	}
	hello := &wire.Hello{Agent: &wire.Agent{Id: "a1", Incarnation: "i", Groups: []*wire.GroupSlots{{Group: "etl", Slots: 4}}}}
	if err := session.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	if m, err := session.Recv(); err != nil || m.GetWelcome() == nil {
		t.Fatalf("%v %v", m, err)
	}
	got := scrape(t, s)
	for _, want := range []string{
		`backfleet_build_info{version="v9"} 1`, "backfleet_raft_leader 1", `backfleet_raft_members{voter="true"} 1`, "backfleet_raft_leader_contact_seconds 0",
		`backfleet_agents{state="ready"} 1`, `backfleet_agents{state="lost"} 0`, `backfleet_agents{state="gone"} 0`, `backfleet_slots{group="etl"} 4`, `backfleet_slots_used{group="etl"} 0`,
		"backfleet_leases 0", `backfleet_proposals_total{command="turn",outcome="applied"}`, "backfleet_turn_seconds_count", "backfleet_turn_transitions_count",
		`backfleet_log_received_bytes_total{from="agent"} 0`, "backfleet_data_free_bytes", "go_goroutines",
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("no %s in\n%s", want, regexp.MustCompile(`(?m)^(#|go_|process_).*\n`).ReplaceAllString(got, ""))
		}
	}
}

// Every figure is documented, and nothing else is.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("(?m)^\\| `(backfleet_\\w+)").FindAllStringSubmatch(string(text), -1)
	var names, known []string
	for _, d := range documented {
		names = append(names, d[1])
	}
	s := alone(t, Config{})
	ch := make(chan *prometheus.Desc, 1024)
	s.metrics.registry.Describe(ch)
	close(ch)
	for d := range ch {
		if m := regexp.MustCompile(`fqName: "(backfleet_\w+)"`).FindStringSubmatch(d.String()); m != nil {
			known = append(known, m[1])
		}
	}
	slices.Sort(names)
	slices.Sort(known)
	if !slices.Equal(names, known) || len(known) < 15 {
		t.Errorf("DESIGN.md has\n%s\nthe coordinator has\n%s", strings.Join(names, "\n"), strings.Join(known, "\n"))
	}
}

// With little space left new work is refused and steering is not.
func TestLittleSpace(t *testing.T) {
	var free atomic.Uint64
	free.Store(math.MaxUint64)
	s := alone(t, Config{free: func(string) (uint64, bool) { return free.Load(), true }})
	submit := &wire.Command{Body: &wire.Command_Submit{Submit: &wire.Submit{}}}
	pause := &wire.Command{Body: &wire.Command_Operate{Operate: &wire.Operate{}}}
	for _, x := range []struct {
		free    uint64
		c       *wire.Command
		refused bool
	}{{reserve, submit, false}, {reserve - 1, submit, true}, {0, submit, true}, {0, pause, false}} {
		free.Store(x.free)
		_, _, err := clusterLog{s}.Propose(within(t), x.c)
		full := fault.Is(err, fault.Unavailable) && strings.Contains(err.Error(), "is full")
		if full != x.refused || err == nil { // the empty commands are refused by the facts
			t.Errorf("%d bytes free: %v", x.free, err)
		}
	}
	if got := scrape(t, s); !strings.Contains(got, "\nbackfleet_data_free_bytes 0\n") || !strings.Contains(got, "\nbackfleet_data_reserve_bytes 6.7108864e+07\n") {
		t.Error("the figures do not show it")
	}
}

func TestAnnounced(t *testing.T) {
	there := make(board, 2)
	s := alone(t, Config{Announcer: there})
	if m := <-there; m.Kind != presence.Coordinator || m.ID != "c1" || m.Address != s.RPCAddress() || m.Meta["http"] != s.HTTPAddress() || m.Meta["raft"] == "" {
		t.Errorf("announced %+v", m)
	}
	for range 2 { // twice is fine
		if err := s.Stop(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case m := <-there:
		if m.ID != "" {
			t.Errorf("announced again: %+v", m)
		}
	default:
		t.Error("stopped before its goodbye")
	}
}
