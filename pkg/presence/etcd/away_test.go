package etcd

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"backfleet/pkg/presence"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

func freeURL(t *testing.T) url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}

// real is an etcd of our own that can be away for a while.
type real struct {
	t            *testing.T
	dir          string
	client, peer url.URL
	running      *embed.Etcd
}

func newReal(t *testing.T) *real {
	s := &real{t: t, dir: t.TempDir(), client: freeURL(t), peer: freeURL(t)}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *real) start() {
	s.t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel = s.dir, "fatal"
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{s.client}, []url.URL{s.client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{s.peer}, []url.URL{s.peer}
	cfg.InitialCluster = cfg.Name + "=" + s.peer.String()
	cfg.TickMs, cfg.ElectionMs = 20, 200 // the shortest lease is 1.5 elections
	cfg.BcryptCost = 4                   // the least: passwords are no secrets here
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = e
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		s.t.Fatal("etcd is not ready")
	}
}

func (s *real) stop() {
	if s.running != nil {
		s.running.Close()
		s.running = nil
	}
}

// wipe has the next start find nothing.
func (s *real) wipe() {
	s.t.Helper()
	s.stop()
	s.dir = s.t.TempDir()
}

// admin is a client of the test's own.
func (s *real) admin() *clientv3.Client {
	s.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.client.String()}, Logger: zap.NewNop()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func server(t *testing.T) *clientv3.Client { return newReal(t).admin() }

func (s *real) open(o Options) *Registry {
	s.t.Helper()
	o.Endpoints = []string{s.client.Host}
	o.Lease, o.Retry = 2*time.Second, 160*time.Millisecond
	r, err := Open(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(r.Close)
	return r
}

// announce runs until the test, or the given cancel, ends it.
func announce(t *testing.T, r *Registry, m presence.Member, changes <-chan presence.Member) (cancel func()) {
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Announce(ctx, m, changes) }()
	cancel = func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(cancel)
	return cancel
}

// A restart, an absence longer than the lease and the loss of all data: who
// lives is seen again each time, by watches that were there before, and
// afterwards they see what changes.
func TestEtcdAwayAndWiped(t *testing.T) {
	s := newReal(t)
	mine, theirs := s.open(Options{}), s.open(Options{Config: Config{Relist: 2 * time.Second}})
	news := make(chan presence.Member, 1)
	announce(t, mine, presence.Member{Kind: presence.Coordinator, ID: "c1"}, news)
	ch, err := theirs.Watch(t.Context(), presence.Coordinator)
	if err != nil {
		t.Fatal(err)
	}
	until(t, ch, "registered", one)
	term := uint64(0)
	leads := func(what string) {
		t.Helper()
		term++
		presence.Offer(news, presence.Member{Kind: presence.Coordinator, ID: "c1", Leader: true, Term: term})
		until(t, ch, what, func(l []presence.Member) bool { return one(l) && l[0].Leader && l[0].Term == term })
	}
	leads("a change")

	s.stop()
	s.start()
	leads("a change after a restart")

	s.stop()
	<-time.After(3 * time.Second) // longer than the lease: the member has given it up
	s.start()
	leads("a change after a long absence")

	// Revisions begin anew: an old watch waits for one that is far away.
	for range 20 {
		leads("a change")
	}
	s.wipe()
	s.start()
	leads("a change after the loss of all data") // nothing but reading again tells the other registry
	own, err := mine.Watch(t.Context(), presence.Coordinator)
	if err != nil {
		t.Fatal(err)
	}
	until(t, own, "the own member", one)
	for range 20 {
		leads("a change")
	}
	s.wipe()
	s.start()
	// Its reading is a minute away, but its own member was entered again.
	leads("a change after another loss")
	until(t, own, "a change after another loss", func(l []presence.Member) bool { return one(l) && l[0].Term == term })
}

// What a member says of itself changes under one lease, and keys that it has no
// more go.
func TestChanges(t *testing.T) {
	s := newReal(t)
	r, admin, news := s.open(Options{}), s.admin(), make(chan presence.Member, 1)
	end := announce(t, r, agentOne, news)
	ch, err := r.Watch(t.Context(), presence.Agent)
	if err != nil {
		t.Fatal(err)
	}
	until(t, ch, "registered", one)
	keys := func() (list []string, lease int64) {
		got, err := admin.Get(t.Context(), "/backfleet/presence/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range got.Kvs {
			list, lease = append(list, string(kv.Key)), kv.Lease
		}
		return list, lease
	}
	_, lease := keys()
	moved := agentOne
	moved.Groups = []string{"other", "default"}
	news <- moved
	until(t, ch, "its other groups", func(l []presence.Member) bool { return one(l) && l[0].Equal(moved) })
	if list, now := keys(); now != lease || !slices.Equal(list, []string{"/backfleet/presence/agents/default/a1", "/backfleet/presence/agents/other/a1"}) {
		t.Errorf("%q under lease %d, before %d", list, now, lease)
	}
	end()
	if list, _ := keys(); len(list) > 0 {
		t.Errorf("after the goodbye: %q", list)
	}
}

// Of two that say they lead the later term counts.
func TestLatestTermLeads(t *testing.T) {
	s := newReal(t)
	r := s.open(Options{})
	for i, id := range []string{"c1", "c2", "c3"} {
		announce(t, r, presence.Member{Kind: presence.Coordinator, ID: id, Leader: id != "c3", Term: []uint64{7, 9, 0}[i]}, nil)
	}
	ch, err := r.Watch(t.Context(), presence.Coordinator)
	if err != nil {
		t.Fatal(err)
	}
	got := until(t, ch, "all three", func(l []presence.Member) bool { return len(l) == 3 })
	if leader, ok := presence.Leader(got); !ok || leader.ID != "c2" {
		t.Errorf("leader %+v", leader)
	}
}

// An etcd with users: the login comes from a file, and a new password is taken
// up without a restart.
func TestLogin(t *testing.T) {
	s := newReal(t)
	admin, ctx := s.admin(), t.Context()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err := admin.RoleAdd(ctx, "presence")
	must("role", err)
	_, err = admin.RoleGrantPermission(ctx, "presence", "/backfleet/presence/", clientv3.GetPrefixRangeEnd("/backfleet/presence/"), clientv3.PermissionType(clientv3.PermReadWrite))
	must("permission", err)
	for user, role := range map[string]string{"root": "root", "fleet": "presence"} {
		_, err = admin.UserAdd(ctx, user, "old-"+user)
		must("user", err)
		_, err = admin.UserGrantRole(ctx, user, role)
		must("grant", err)
	}
	_, err = admin.AuthEnable(ctx)
	must("enable", err)
	root, err := clientv3.New(clientv3.Config{Endpoints: []string{s.client.String()}, Logger: zap.NewNop(), Username: "root", Password: "old-root"})
	must("root", err)
	t.Cleanup(func() { _ = root.Close() })

	login := filepath.Join(t.TempDir(), "login")
	must("login", os.WriteFile(login, []byte("fleet:old-fleet\n"), 0o600))
	r := s.open(Options{Login: login})
	announce(t, r, agentOne, nil)
	ch, err := r.Watch(ctx, presence.Agent)
	must("watch", err)
	until(t, ch, "registered with a password", one)

	_, err = root.UserChangePassword(ctx, "fleet", "new-fleet")
	must("change", err)
	must("login", os.WriteFile(login, []byte("fleet:new-fleet\n"), 0o600))
	before, err := root.Get(ctx, "/backfleet/presence/agents/default/a1")
	must("get", err)
	_, err = root.Revoke(ctx, clientv3.LeaseID(before.Kvs[0].Lease))
	must("revoke", err)
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		now, err := root.Get(ctx, "/backfleet/presence/agents/default/a1")
		must("get", err)
		if len(now.Kvs) == 1 && now.Kvs[0].Lease != before.Kvs[0].Lease {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come back with its new password")
		}
	}
}
