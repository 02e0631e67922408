package runbooks

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

var plays = map[string]play{
	"replace-a-host":      {fleet: fleet.Config{Coordinators: 3, Agents: 1}, trouble: loseHost, cured: hostReplaced},
	"lost-quorum":         {fleet: fleet.Config{Coordinators: 3, Agents: 1}, trouble: loseQuorum, cured: quorumBack},
	"restore-from-backup": {fleet: fleet.Config{Coordinators: 3, Agents: 1}, trouble: beginWork, cured: restored},
	"upgrade":             {fleet: fleet.Config{Coordinators: 3, Agents: 1, CoordinatorFlags: []string{"--behaviour-after", "1s"}}, trouble: beginWork, cured: upgraded},
	"disk-full":           {fleet: fleet.Config{Coordinators: 3, Agents: 1}, trouble: fillDisk, cured: roomAgain},
	"stuck-backfill":      {fleet: fleet.Config{Agents: 1}, trouble: nobodyServes, cured: allDone},
	"runaway-node":        {fleet: fleet.Config{Agents: 1}, trouble: failsEverywhere, cured: allDone},
	"key-roll":            {fleet: fleet.Config{Coordinators: 3, Agents: 1}, prepare: secure, trouble: keysGetOld, cured: keysAreNew},
	"agent-loss":          {fleet: fleet.Config{Agents: 2, CoordinatorFlags: []string{"--lease", "4s"}}, trouble: loseAgent, cured: agentBack},
	"slow-disk":           {fleet: fleet.Config{Coordinators: 3, Agents: 1}, trouble: slowDisk, cured: quickAgain},
}

// work has a backfill of a node whose attempts wait for a file.
func (s *stage) work(dates string) string {
	s.T.Helper()
	s.Apply(rig.Node{ID: "waits", Code: rig.Waits("go")})
	id := s.Submit(v1.BackfillRequest{Root: "waits", Mode: v1.ModeCurrent, Dates: []string{dates}})
	s.Until("it runs", func() bool { return s.Noted("start ") > 0 })
	return id
}

const eightDays = "2024-01-01..2024-01-08"

func beginWork(s *stage) { s.set("BACKFILL", s.work(eightDays)) }

func loseHost(s *stage) {
	beginWork(s)
	s.Must(s.hosts["c2"].Kill())
	s.newCoordinator("c4")
}

func hostReplaced(s *stage) {
	s.Open("go")
	s.Succeeded("b1", 8)
	s.Traced()
	s.refused("c2") // it was down when it was removed
	s.whole(3, s.Servers[0], s.Servers[2])
}

// refused starts a coordinator on its old folder: it is told, by whom it is to join
// or by whom it knew, that it is a member no more, and the next start does not
// even ask.
func (s *stage) refused(host string) {
	s.T.Helper()
	p := s.hosts[host]
	s.Must(p.Start())
	s.Until(host+" is told that it is no member", func() bool { return s.logged(host, "is a member no more") })
	s.Must(p.Stop(s.Ctx))
	s.Must(p.Start())
	status, err := p.Wait(s.Ctx)
	s.Must(err)
	if status == 0 || !s.logged(host, "start on an empty folder") {
		s.T.Errorf("%s started on a folder that is no member's, and ended with status %d", host, status)
	}
}

func loseQuorum(s *stage) {
	beginWork(s)
	s.Open("go")
	// Written before, so that the new ones know whom to join.
	s.env = append(s.env, "BACKFLEET_SERVER="+s.Servers[1]+","+s.newCoordinator("c4")+","+s.newCoordinator("c5"))
	s.Must(s.hosts["c1"].Kill())
	s.Must(s.hosts["c3"].Kill())
}

func quorumBack(s *stage) {
	s.Traced()
	s.refused("c3")
	s.refused("c1") // it has --bootstrap, and no address to ask but those it knew
	s.whole(3, s.Servers[1])
}

// logged says whether the coordinator or agent of a host has written so.
func (s *stage) logged(host, text string) bool {
	log, err := os.ReadFile(s.hosts[host].Log)
	s.Must(err)
	return bytes.Contains(log, []byte(text))
}

func upgraded(s *stage) {
	s.Open("go")
	s.Succeeded("b1", 8)
	s.Traced()
}

func restored(s *stage) {
	s.Open("go")
	cl, err := s.Client(s.Servers...)
	s.Must(err)
	s.API = cl // has seen no index of before
	s.Succeeded("b1", 8)
	s.Traced()
}

// fillDisk moves c1 to a small volume, and fills it. Where nothing may be mounted
// the lines are played on a disk that has room.
func fillDisk(s *stage) {
	s.work("2024-02-01")
	s.Open("go")
	volume, p := s.T.TempDir(), s.hosts["c1"]
	s.Must(p.Stop(s.Ctx))
	err := unix.Mount("tmpfs", volume, "tmpfs", 0, "size=400m,mode=0700")
	if err != nil {
		s.T.Logf("no disk can be mounted here: %v", err)
	} else {
		s.T.Cleanup(func() { _ = unix.Unmount(volume, unix.MNT_DETACH) })
	}
	moved := filepath.Join(volume, "c1")
	s.Must(os.CopyFS(moved, os.DirFS(s.dir("c1"))))
	s.Must(os.RemoveAll(s.dir("c1")))
	s.Must(os.Symlink(moved, s.dir("c1")))
	s.Must(p.Start())
	s.whole(3, s.Servers...)
	filler, e := os.Create(filepath.Join(volume, "filler"))
	s.Must(e)
	defer filler.Close()
	if err != nil {
		return
	}
	var st unix.Statfs_t
	s.Must(unix.Statfs(volume, &st))
	s.Must(unix.Fallocate(int(filler.Fd()), 0, 0, int64(st.Bavail)*st.Bsize))
	s.Until("c1 says that its disk is full", func() bool { return s.logged("c1", "the disk is full: no new work") })
}

func roomAgain(s *stage) {
	s.Succeeded("b1", 1)
	s.Succeeded("b2", 1)
}

const (
	admin      = "a-token-of-the-tests-0123456789"
	agentToken = "a-token-of-the-agents-0123456789"
)

// secure issues certificates for a day at the desk, and puts them where the hosts
// have them.
func secure(t *testing.T, config *fleet.Config) []string {
	t.Helper()
	pki, hosts := filepath.Join(t.TempDir(), "pki"), t.TempDir()
	command := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	command("tls", "init", "--dir", pki)
	for _, id := range []string{"c1", "c2", "c3"} {
		command("tls", "issue", "coordinator", id, "--host", "127.0.0.1", "--host", "localhost", "--dir", pki, "--days", "1")
	}
	command("tls", "issue", "agent", "a1", "--dir", pki, "--days", "1")
	text := map[string]string{"people": admin, "tokens": "operator:" + admin + "\nagents:" + agentToken + " role=agent", "agents": agentToken}
	for name, secret := range text {
		if err := os.WriteFile(filepath.Join(hosts, name), []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := os.ReadFile(filepath.Join(pki, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"ca.pem", "coordinator-*", "agent-*"} {
		files, _ := filepath.Glob(filepath.Join(pki, pattern))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err == nil {
				err = os.WriteFile(filepath.Join(hosts, filepath.Base(f)), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	config.Security = &fleet.Security{
		Token: admin, TLS: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		Flags: func(name string) []string {
			role, secrets := "coordinator-", "tokens"
			if name[0] == 'a' {
				role, secrets = "agent-", "agents"
			}
			file := filepath.Join(hosts, role+name)
			return []string{"--tls-cert", file + ".pem", "--tls-key", file + ".key", "--tls-ca", filepath.Join(hosts, "ca.pem"), "--token-file", filepath.Join(hosts, secrets)}
		},
	}
	return []string{"PKI=" + pki, "TLS=" + hosts, "BACKFLEET_CA=" + filepath.Join(hosts, "ca.pem"), "BACKFLEET_TOKEN_FILE=" + filepath.Join(hosts, "people")}
}

func keysGetOld(s *stage) {
	s.work("2024-02-01")
	at, err := url.Parse(s.Servers[0])
	s.Must(err)
	s.set("HTTP_c1", at.Host)
}

// keysAreNew: all three listeners of a coordinator and the agent took the new files
// up, without a restart.
func keysAreNew(s *stage) {
	for _, host := range []string{"c1", "c2", "c3", "a1"} {
		s.Until(host+" uses its new files", func() bool { return s.logged(host, "new certificate files are in use") })
	}
	s.Open("go")
	s.Succeeded("b1", 1)
	s.Traced()
}
