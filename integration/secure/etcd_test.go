package secure

import (
	"net/url"
	"path/filepath"
	"slices"
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

// Agents find a coordinator that moved through etcd, and nobody misses etcd
// while it is away.
func TestEtcdAsTheDirectory(t *testing.T) {
	t.Parallel()
	ca, dir, ports := mtlstest.NewCA(t), t.TempDir(), free(t, 7)
	server := &etcdServer{t: t, dir: t.TempDir(), client: ports[0], peer: ports[1], files: ca.Issue("etcd")}
	mine := ca.Issue("backfleet")
	server.start()
	t.Cleanup(server.stop)
	flags := []string{"--etcd", server.client, "--etcd-ca", mine.CA, "--etcd-cert", mine.Cert, "--etcd-key", mine.Key}
	look, err := etcd.Open(etcd.Options{Endpoints: []string{server.client}, CA: mine.CA, Cert: mine.Cert, Key: mine.Key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(look.Close)
	seen := func(what string, kind presence.Kind, fits func([]presence.Member) bool) {
		t.Helper()
		until(t, what, func() (bool, error) {
			list, err := look.List(within(t), kind)
			return err == nil && fits(list), err
		})
	}
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
