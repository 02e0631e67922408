package secure

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"backfleet/ops/demo/fleet"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/authority"
	"backfleet/pkg/wire"
)

// pki is a folder that `backfleet tls` has filled, and the authorities that
// everybody trusts.
type pki struct {
	t     *testing.T
	dir   string
	trust string // one file for all, so that a test can change it
	out   string // certificates and keys
	plain cli    // a person's that names no coordinator
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{t: t, dir: filepath.Join(t.TempDir(), "pki"), out: t.TempDir()}
	p.trust = filepath.Join(p.out, "trust.pem")
	p.tls("init", "--dir", p.dir)
	p.trusts(p.dir)
	return p
}

func (p *pki) tls(args ...string) string {
	p.t.Helper()
	return cli{p.t, nil}.must(append([]string{"tls"}, args...)...)
}

// issue makes a certificate from an authority's folder.
func (p *pki) issue(dir, role, id string, more ...string) mtls.Files {
	p.t.Helper()
	args := append([]string{"issue", role, id, "--dir", dir, "--out", p.out, "--renew"}, more...)
	if role == "coordinator" {
		args = append(args, "--host", "127.0.0.1", "--host", "localhost")
	}
	p.tls(args...)
	return p.files(role, id)
}

func (p *pki) files(role, id string) mtls.Files {
	base := filepath.Join(p.out, role+"-"+id)
	return mtls.Files{Cert: base + ".pem", Key: base + ".key", CA: p.trust}
}

// trusts has everybody trust the authorities of these folders alone.
func (p *pki) trusts(dirs ...string) {
	p.t.Helper()
	var text []byte
	for _, dir := range dirs {
		one, err := os.ReadFile(filepath.Join(dir, authority.CertFile))
		if err != nil {
			p.t.Fatal(err)
		}
		text = append(text, one...)
	}
	if err := os.WriteFile(p.trust+".new", text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.trust+".new", p.trust); err != nil {
		p.t.Fatal(err)
	}
}

// issued makes a certificate that began some time ago, with a life of one day.
func (p *pki) issued(ago time.Duration, role authority.Role, id string) mtls.Files {
	p.t.Helper()
	a, err := authority.Open(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	r := authority.Request{Role: role, ID: id, Days: 1}
	if _, err := a.Issue(r, p.out, "", true, time.Now().Add(-ago)); err != nil {
		p.t.Fatal(err)
	}
	return p.files(string(role), id)
}

// cluster starts coordinators with certificates of the folder, and gives a
// client of theirs.
func (p *pki) cluster(dir string, n int) ([]coordinator, cli) {
	p.t.Helper()
	p.plain = cli{p.t, []string{"--ca", p.trust, "--token-file", file(p.t, secret+"\n")}}
	tokens := file(p.t, "operator:"+secret+"\nagents:"+other+" role=agent\n")
	all := members(p.t, dir, n, "https://", p.plain, func(id string) []string {
		return append(tlsFlags(p.issue(p.dir, "coordinator", id)), "--data", filepath.Join(dir, id), "--token-file", tokens)
	})
	var servers []string
	for _, one := range all {
		servers = append(servers, "https://"+one.http)
	}
	return all, cli{p.t, append([]string{"--server", strings.Join(servers, ","), "--timeout", "30s"}, p.plain.flags...)}
}

func rpcs(all []coordinator) string {
	var list []string
	for _, c := range all {
		list = append(list, c.rpc)
	}
	return strings.Join(list, ",")
}

// agentFlags are an agent's for a cluster and a certificate.
func agentFlags(t *testing.T, all []coordinator, files mtls.Files) []string {
	t.Helper()
	return append(tlsFlags(files), "--coordinators", rpcs(all), "--token-file", file(t, other))
}

// From nothing to a secured cluster with what the program itself makes; who is
// not what they say, or of another authority, or too late, is refused in words.
func TestOwnAuthority(t *testing.T) {
	t.Parallel()
	p, dir := newPKI(t), t.TempDir()
	all, c := p.cluster(dir, 3)
	a1 := p.issue(p.dir, "agent", "a1")
	agentProcess(t, dir, agentFlags(t, all, a1)...)
	c.must("node", "apply", "-f", nodes(t))
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-01..2024-01-03", "--wait")

	show := p.tls("show", p.files("coordinator", "c1").Cert, a1.Cert, p.trust)
	for _, want := range []string{"coordinator c1", "c1.coordinator.backfleet, localhost, 127.0.0.1", "agent a1", "90 days", "authority Backfleet authority", "ECDSA"} {
		if !strings.Contains(strings.Join(strings.Fields(show), " "), want) && !strings.Contains(show, want) {
			t.Errorf("show lacks %q:\n%s", want, show)
		}
	}
	if got := p.tls("check", "--cert", a1.Cert, "--key", a1.Key, "--ca", p.trust); !strings.HasPrefix(got, "good: agent a1, until ") {
		t.Errorf("check: %q", got)
	}
	nobody := cli{t, nil}
	nobody.refused(4, "not overwritten", "tls", "init", "--dir", p.dir)
	nobody.refused(4, "--renew", "tls", "issue", "agent", "a1", "--dir", p.dir, "--out", p.out)
	nobody.refused(2, "--host: missing", "tls", "issue", "coordinator", "c9", "--dir", p.dir)
	nobody.refused(2, "expected coordinator, agent or client", "tls", "issue", "king", "c9", "--dir", p.dir)
	nobody.refused(3, "tls init", "tls", "issue", "agent", "a9", "--dir", filepath.Join(dir, "none"))
	nobody.refused(2, "no PEM certificate", "tls", "show", a1.Key)
	if text, err := os.ReadFile(a1.Key); err != nil || strings.Contains(show, strings.Split(string(text), "\n")[1]) {
		t.Errorf("a key was shown, or is not there: %v", err)
	}

	// Another's certificate: at the start, and, past that, by the coordinators.
	wrong := agentFlags(t, all, a1)
	nobody.refused(2, "a2.agent.backfleet", append([]string{"agent", "--id", "a2", "--data", t.TempDir(), "--group", "default=1"}, wrong...)...)
	leads := leader(t, all, "https://", p.plain)
	if err := p.session(a1, leads.rpc, "a2"); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "a2.agent.backfleet") {
		t.Errorf("a2 with the certificate of a1: %v", err)
	}
	if err := p.session(p.issue(p.dir, "client", "a2"), leads.rpc, "a2"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a2 with the certificate of a person: %v", err)
	}

	// Another authority, which the agent trusts beside the right one.
	foreign := filepath.Join(t.TempDir(), "pki")
	p.tls("init", "--dir", foreign)
	a3 := p.issue(foreign, "agent", "a3")
	nobody.refused(2, "does not vouch", "tls", "check", "--cert", a3.Cert, "--key", a3.Key, "--ca", a3.CA)
	stranger := agentNamed(t, dir, "a3", agentFlags(t, all, a3)...)
	until(t, "the stranger reads why", func() (bool, error) {
		return strings.Contains(output(stranger), "unknown certificate authority"), nil
	})
	until(t, "a coordinator says whom it turned away", func() (bool, error) {
		return slices.ContainsFunc(all, func(c coordinator) bool {
			return strings.Contains(output(c.Process), "turned away") && strings.Contains(output(c.Process), "unknown authority")
		}), nil
	})

	// Too late.
	a4 := p.issued(48*time.Hour, authority.Agent, "a4")
	nobody.refused(2, "expired at", append([]string{"agent", "--id", "a4", "--data", t.TempDir(), "--group", "default=1"}, agentFlags(t, all, a4)...)...)
	nobody.refused(2, "expired at", "tls", "check", "--cert", a4.Cert, "--key", a4.Key, "--ca", a4.CA)
	if got := nobody.run("tls", "show", a4.Cert); got.exit != 0 || !strings.Contains(got.err, "has expired") {
		t.Errorf("show of an expired one: %+v", got)
	}
}

// Where clients of the API are to be certified, a token alone does not do.
func TestClientsAreCertified(t *testing.T) {
	t.Parallel()
	p, dir, ports := newPKI(t), t.TempDir(), free(t, 3)
	ada := p.issue(p.dir, "client", "ada")
	start(t, "c1", dir, append([]string{"coordinator", "--id", "c1", "--data", filepath.Join(dir, "c1"), "--bootstrap", "--http", ports[0], "--rpc", ports[1],
		"--raft", ports[2], "--token-file", file(t, "ada:"+secret), "--require-client-cert"}, tlsFlags(p.issue(p.dir, "coordinator", "c1"))...)...)
	c := cli{t, []string{"--server", "https://" + ports[0], "--token-file", file(t, secret)}}
	certified := cli{t, append(slices.Clone(c.flags), "--ca", p.trust, "--cert", ada.Cert, "--key", ada.Key, "--timeout", "30s")}
	certified.must("node", "apply", "-f", nodes(t))
	until(t, "the refusal says what is missing", func() (bool, error) {
		got := cli{t, append(c.flags, "--ca", p.trust)}.hasty().run("cluster", "status")
		if got.exit != 6 {
			t.Fatalf("exit %d without a certificate\n%s%s", got.exit, got.out, got.err)
		}
		return strings.Contains(got.err, "certificate required"), nil // the connection may end before its last word is read
	})
	cli{t, append(c.flags, "--cert", ada.Cert, "--key", ada.Key)}.refused(2, "--ca", "cluster", "status")
	cli{t, append(c.flags, "--ca", p.trust, "--cert", ada.Cert)}.refused(2, "--cert and --key", "cluster", "status")
}

// session says hello as an agent and gives the answer's error.
func (p *pki) session(files mtls.Files, address, id string) error {
	p.t.Helper()
	material, err := mtls.Load(files)
	if err != nil {
		p.t.Fatal(err)
	}
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(material.Credentials("")), grpc.WithPerRPCCredentials(bearer(other)))
	if err != nil {
		p.t.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	stream, err := wire.NewAgentsClient(cc).Session(ctx)
	if err != nil {
		return err
	}
	hello := &wire.Hello{Agent: &wire.Agent{Id: id, Incarnation: "i", Groups: []*wire.GroupSlots{{Group: "default", Slots: 1}}}}
	if err := stream.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: hello}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.Recv() // of a stream that was refused before the hello, why
	return err
}

// Certificates, keys and the authority itself are changed while attempts run,
// and nobody is restarted for it. What was trusted before is not any more.
func TestEverythingIsRotated(t *testing.T) {
	t.Parallel()
	p, dir, flag := newPKI(t), t.TempDir(), filepath.Join(t.TempDir(), "go")
	all, c := p.cluster(dir, 3)
	agent := agentProcess(t, dir, agentFlags(t, all, p.issue(p.dir, "agent", "a1"))...)
	old := p.issue(p.dir, "agent", "a5")
	c.waits("waits", flag)
	c.must("backfill", "submit", "--node", "waits", "--dates", "2024-01-01..2024-01-03", "--groups", "3")
	c.running("b1", 3)

	const both, one = `"authorities":2,`, `"authorities":1,`
	everybody := append([]coordinator{{Process: agent}}, all...)
	haveIt := func(what, mark string, times int) {
		t.Helper()
		until(t, what, func() (bool, error) {
			return !slices.ContainsFunc(everybody, func(c coordinator) bool {
				return said(c.Process, "new certificate files are in use", mark) < times
			}), nil
		})
	}
	moves := func() { // to another leader goes only who proves themselves anew
		t.Helper()
		leads := leader(t, all, "https://", p.plain)
		next := all[slices.IndexFunc(all, func(c coordinator) bool { return c.id != leads.id })]
		before := map[string]int{}
		for _, c := range all {
			before[c.id] = said(agent, `"session with the leader"`, c.rpc)
		}
		c.must("cluster", "transfer", "--to", next.id)
		until(t, "another than "+leads.id+" leads and has the agent", func() (bool, error) {
			cluster, err := p.plain.cluster("https://" + next.http)
			at := slices.IndexFunc(all, func(c coordinator) bool { return c.id == cluster.Leader && c.id != leads.id })
			return at >= 0 && said(agent, `"session with the leader"`, all[at].rpc) > before[cluster.Leader], err
		})
	}
	next := filepath.Join(t.TempDir(), "next")
	p.tls("init", "--dir", next)
	p.trusts(p.dir, next)
	haveIt("both authorities are trusted", both, 1)
	for _, id := range []string{"c1", "c2", "c3"} {
		p.issue(next, "coordinator", id)
	}
	p.issue(next, "agent", "a1")
	haveIt("all have certificates of the new authority", both, 2)
	moves()
	p.trusts(next)
	haveIt("the new authority alone is trusted", one, 1)
	moves()
	third := all[2]
	if err := third.Kill(); err != nil { // the others were never restarted, and take it for who it is
		t.Fatal(err)
	}
	if err := third.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "c3 follows again", func() (bool, error) {
		cluster, err := p.plain.cluster("https://" + third.http)
		return err == nil && cluster.Leader != "" && cluster.AppliedIndex == cluster.CommitIndex, err
	})
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("backfill", "watch", "b1")
	if got := c.must("instance", "list", "b1", "-o", "json"); strings.Count(got, `"attempts": 1`) != 3 {
		t.Errorf("attempts did not outlive the change:\n%s", got)
	}
	stranger := agentNamed(t, dir, "a5", agentFlags(t, all, old)...)
	until(t, "who has a certificate of the old authority is refused", func() (bool, error) {
		return strings.Contains(output(stranger), "unknown certificate authority"), nil
	})
}

// said counts the lines of a process's log that have both.
func said(p *fleet.Process, what, mark string) (n int) {
	for line := range strings.Lines(output(p)) {
		if strings.Contains(line, what) && strings.Contains(line, mark) {
			n++
		}
	}
	return n
}

// A certificate that expires while its agent works is told of beforehand; the
// agent is refused then, says why, and is back once it has a new one.
func TestExpiryWhileItWorks(t *testing.T) {
	t.Parallel()
	p, dir := newPKI(t), t.TempDir()
	all, c := p.cluster(dir, 1)
	const left = 25 * time.Second
	files := p.issued(24*time.Hour-left, authority.Agent, "a1")
	ends := time.Now().Add(left)
	agent := agentProcess(t, dir, agentFlags(t, all, files)...)
	c.must("node", "apply", "-f", nodes(t))
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-01", "--wait")
	if got := output(agent); !strings.Contains(got, "a certificate expires soon") {
		t.Errorf("nothing was said beforehand:\n%s", got)
	}
	until(t, "it has expired", func() (bool, error) { return time.Now().After(ends), nil })
	if err := all[0].Kill(); err != nil { // a session that stands is not broken
		t.Fatal(err)
	}
	if err := all[0].Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the agent says that it is refused, and why", func() (bool, error) {
		got := output(agent)
		return strings.Contains(got, "a certificate has expired") && strings.Contains(got, "expired certificate"), nil
	})
	p.issue(p.dir, "agent", "a1")
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-02", "--wait")
}
