package secure

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"backfleet/ops/demo/fleet"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/mtlstest"
	"backfleet/pkg/presence"
	"backfleet/pkg/presence/etcd"
)

// etcdServer is an etcd that demands certificates and can be away for a while.
type etcdServer struct {
	t            *testing.T
	dir          string
	client, peer string
	files        mtls.Files
	running      *embed.Etcd
}

func (s *etcdServer) start() {
	s.t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel = s.dir, "fatal"
	client, peer := url.URL{Scheme: "https", Host: s.client}, url.URL{Scheme: "http", Host: s.peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.Name + "=" + peer.String()
	cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile, cfg.ClientTLSInfo.TrustedCAFile = s.files.Cert, s.files.Key, s.files.CA
	cfg.ClientTLSInfo.ClientCertAuth = true
	running, err := embed.StartEtcd(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = running
	select {
	case <-running.Server.ReadyNotify():
	case <-within(s.t).Done():
		s.t.Fatal("etcd is not ready")
	}
}

func (s *etcdServer) stop() {
	if s.running != nil {
		s.running.Close()
		s.running = nil
	}
}

// wipe has the next start find nothing.
func (s *etcdServer) wipe() {
	s.stop()
	s.dir = s.t.TempDir()
}

// directory is an etcd with who looks into it.
type directory struct {
	*etcdServer
	flags []string // of everybody
	look  *etcd.Registry
}

func newDirectory(t *testing.T, client, peer string) *directory {
	ca := mtlstest.NewCA(t)
	d := &directory{etcdServer: &etcdServer{t: t, dir: t.TempDir(), client: client, peer: peer, files: ca.Issue("etcd")}}
	mine := ca.Issue("backfleet")
	d.start()
	t.Cleanup(d.stop)
	d.flags = []string{"--etcd", client, "--etcd-ca", mine.CA, "--etcd-cert", mine.Cert, "--etcd-key", mine.Key}
	var err error
	if d.look, err = etcd.Open(etcd.Options{Endpoints: []string{client}, CA: mine.CA, Cert: mine.Cert, Key: mine.Key}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.look.Close)
	return d
}

// seen waits until the members of a kind are as they should.
func (d *directory) seen(what string, kind presence.Kind, fits func([]presence.Member) bool) {
	d.t.Helper()
	until(d.t, what, func() (bool, error) {
		list, err := d.look.List(within(d.t), kind)
		return err == nil && fits(list), err
	})
}

// Agents find a coordinator that moved through etcd, and nobody misses etcd
// while it is away.
func TestEtcdAsTheDirectory(t *testing.T) {
	t.Parallel()
	dir, ports := t.TempDir(), free(t, 7)
	server := newDirectory(t, ports[0], ports[1])
	flags, seen := server.flags, server.seen
	at := func(rpc string) func([]presence.Member) bool {
		return func(l []presence.Member) bool {
			return len(l) == 1 && l[0].ID == "c1" && l[0].Address == rpc && l[0].Meta["http"] != "" && l[0].Meta["raft"] == ports[6]
		}
	}
	begin := func(http, rpc string) (*fleet.Process, cli) {
		p := start(t, "c1", dir, append([]string{"coordinator", "--id", "c1", "--data", filepath.Join(dir, "c1"), "--bootstrap",
			"--http", http, "--rpc", rpc, "--raft", ports[6], "--lease", "5s"}, flags...)...)
		return p, cli{t, []string{"--server", "http://" + http, "--timeout", "30s"}}
	}
	day := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	work := func(c cli) { // one that ends only when an agent did it
		t.Helper()
		c.must("backfill", "submit", "--node", "hello", "--dates", day.Format(time.DateOnly), "--wait")
		day = day.AddDate(0, 0, 1)
	}

	c1, c := begin(ports[2], ports[3])
	agent := agentProcess(t, dir, flags...)
	seen("the coordinator is in etcd", presence.Coordinator, at(ports[3]))
	seen("the agent is in etcd", presence.Agent, func(l []presence.Member) bool {
		return len(l) == 1 && l[0].ID == "a1" && l[0].Meta["groups"] == "default=4"
	})
	c.must("node", "apply", "-f", nodes(t))
	work(c)

	if err := c1.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	seen("its goodbye", presence.Coordinator, func(l []presence.Member) bool { return len(l) == 0 })
	c1, c = begin(ports[4], ports[5])
	seen("its new address", presence.Coordinator, at(ports[5]))
	work(c)

	server.stop()
	work(c) // the session lives on
	if err := agent.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	work(c) // the agent remembers
	if err := c1.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c1.Start(); err != nil {
		t.Fatal(err)
	}
	work(c) // a coordinator starts without etcd
	server.start()
	seen("the coordinator is back in etcd", presence.Coordinator, at(ports[5]))
	seen("the agent is back in etcd", presence.Agent, func(l []presence.Member) bool {
		return slices.ContainsFunc(l, func(m presence.Member) bool { return m.ID == "a1" })
	})
}

// A fleet that knows of each other through etcd alone: etcd restarts, is away
// for longer than its leases, and loses its data, each in the middle of a
// backfill and with a change of leader. No backfill notices, and afterwards
// agents, coordinators and people find each other there again.
func TestEtcdRestartedAwayAndWiped(t *testing.T) {
	t.Parallel()
	dir, ports := t.TempDir(), free(t, 2)
	d := newDirectory(t, ports[0], ports[1])
	const lease = 2 * time.Second
	flags := append([]string{"--etcd-lease", lease.String()}, d.flags...)
	plain := cli{t, nil}
	all := members(t, dir, 3, "http://", plain, func(id string) []string {
		return append([]string{"--data", filepath.Join(dir, id)}, flags...)
	})
	var servers []string
	for _, c := range all {
		servers = append(servers, "http://"+c.http)
	}
	agentProcess(t, dir, flags...)
	found := cli{t, append([]string{"--timeout", "30s"}, d.flags...)}                     // by etcd
	named := cli{t, []string{"--timeout", "30s", "--server", strings.Join(servers, ",")}} // without

	whole := func(agents ...string) {
		t.Helper()
		leads := leader(t, all, "http://", plain)
		d.seen("the coordinators, and "+leads.id+" as the leader", presence.Coordinator, func(l []presence.Member) bool {
			leader, ok := presence.Leader(l)
			return len(l) == 3 && ok && leader.ID == leads.id && leader.Address == leads.rpc
		})
		d.seen("the agents", presence.Agent, func(l []presence.Member) bool {
			return slices.EqualFunc(l, agents, func(m presence.Member, id string) bool {
				return m.ID == id && slices.Equal(m.Groups, []string{"default"})
			})
		})
		found.must("agent", "list")
	}
	moves := func() {
		t.Helper()
		leads := leader(t, all, "http://", plain)
		next := all[slices.IndexFunc(all, func(c coordinator) bool { return c.id != leads.id })]
		named.must("cluster", "transfer", "--to", next.id)
		until(t, next.id+" leads", func() (bool, error) {
			cluster, err := plain.cluster("http://" + next.http)
			return cluster.Leader == next.id, err
		})
	}
	whole("a1")
	until(t, "the coordinators show the agent in their figures", func() (bool, error) {
		return strings.Contains(metrics(t, servers[0]), `backfleet_directory_agents{group="default",session="yes"} 1`), nil
	})

	for i, trouble := range []func(){
		func() { d.stop(); d.start() },
		func() {
			d.stop()
			moves()
			found.hasty().refused(6, "etcd at "+d.client, "cluster", "status")
			cli{t, append(slices.Clone(d.flags), named.flags...)}.must("cluster", "status") // --server stands in
			gone := time.Now().Add(2 * lease)
			until(t, "etcd was away for longer than its leases", func() (bool, error) { return time.Now().After(gone), nil })
			d.start()
		},
		func() { d.wipe(); moves(); d.start() },
	} {
		node, backfill, flag := fmt.Sprintf("waits%d", i), fmt.Sprintf("b%d", i+1), filepath.Join(dir, fmt.Sprintf("go%d", i))
		found.waits(node, flag)
		found.must("backfill", "submit", "--node", node, "--dates", "2024-01-01..2024-01-06", "--groups", "6")
		found.running(backfill, 4)
		trouble()
		if err := os.WriteFile(flag, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		named.must("backfill", "watch", backfill)
		if got := named.must("instance", "list", backfill, "-o", "json"); strings.Count(got, `"attempts": 1`) != 6 {
			t.Errorf("%s noticed:\n%s", backfill, got)
		}
		whole("a1")
		moves() // what was entered again is alive
		whole("a1")
	}
	agentNamed(t, dir, "a2", flags...)
	whole("a1", "a2")
	until(t, "a new agent found the leader", func() (bool, error) {
		return strings.Contains(found.must("agent", "list"), "a2"), nil
	})
}

// metrics reads a coordinator's figures.
func metrics(t *testing.T, server string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), http.MethodGet, server+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
