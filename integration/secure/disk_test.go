package secure

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"backfleet/ops/demo/fleet"
)

// volume is a small disk of its own.
type volume struct {
	t   *testing.T
	dir string
}

// mount makes one in memory. Where that is not permitted (neither root nor a
// container that may) ok is false: TestFailingWrites, which needs no rights,
// then stands alone for what happens below the coordinator's own watch.
func mount(t *testing.T) (v volume, ok bool) {
	t.Helper()
	v = volume{t, t.TempDir()}
	if err := unix.Mount("tmpfs", v.dir, "tmpfs", 0, "size=176m,mode=0700"); err != nil {
		t.Logf("no disk can be mounted here: %v", err)
		return v, false
	}
	t.Cleanup(func() {
		if err := unix.Unmount(v.dir, 0); err != nil {
			t.Error(err)
		}
	})
	return v, true
}

func (v volume) filler() string { return filepath.Join(v.dir, "filler") }

// fill leaves no byte.
func (v volume) fill() {
	v.t.Helper()
	f, err := os.Create(v.filler())
	if err != nil {
		v.t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(v.dir, &st); err != nil {
			v.t.Fatal(err)
		}
		if st.Bavail == 0 {
			return
		}
		grow := int64(st.Bavail) * st.Bsize
		if err := unix.Fallocate(int(f.Fd()), 0, size, grow); err != nil {
			v.t.Fatal(err)
		}
		size += grow
	}
}

func (v volume) empty() {
	v.t.Helper()
	if err := os.Remove(v.filler()); err != nil {
		v.t.Fatal(err)
	}
}

// alone starts one coordinator on a folder.
func alone(t *testing.T, data string) (*fleet.Process, cli) {
	ports := free(t, 3)
	p := start(t, "c1", t.TempDir(), "coordinator", "--id", "c1", "--data", data, "--bootstrap",
		"--http", ports[0], "--rpc", ports[1], "--raft", ports[2])
	c := cli{t, []string{"--server", "http://" + ports[0], "--timeout", "30s"}}
	return p, c
}

// hasty is a user who soon gives up.
func (c cli) hasty() cli {
	c.flags = append(c.flags[:len(c.flags):len(c.flags)], "--timeout", "1s")
	return c
}

func submit(c cli, date string) outcome {
	return c.hasty().run("backfill", "submit", "--node", "hello", "--dates", date)
}

// A full disk costs new work a refusal that says what to do, and nothing that
// was acknowledged, however the process ends.
func TestFullDiskOfTheOnlyCoordinator(t *testing.T) {
	t.Parallel()
	v, ok := mount(t)
	if !ok {
		return
	}
	p, c := alone(t, filepath.Join(v.dir, "data"))
	c.must("node", "apply", "-f", nodes(t))
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-01")
	v.fill()
	full := func() {
		t.Helper()
		if got := submit(c, "2024-01-02"); got.exit != 6 || !strings.Contains(got.err, "is full") || !strings.Contains(got.err, "free some space") {
			t.Errorf("on a full disk: exit %d\n%s%s", got.exit, got.out, got.err)
		}
		c.hasty().refused(6, "is full", "node", "apply", "--remove", "hello")
	}
	full()
	c.must("backfill", "pause", "b1") // steering is small: it never lacks space

	if err := p.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := exited(t, p); status != 0 {
		t.Errorf("SIGTERM on a full disk: exit %d", status)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if status := exited(t, p); status != 6 || !strings.Contains(output(p), "the disk is full") {
		t.Errorf("start on a full disk: exit %d", status)
	}
	v.empty()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if got := c.must("backfill", "show", "b1", "-o", "json"); !strings.Contains(got, `"paused": true`) {
		t.Errorf("after the restart b1 is\n%s", got)
	}
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-03")

	v.fill()
	full()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	v.empty()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if got := c.must("backfill", "list", "-o", "name"); strings.Join(strings.Fields(got), " ") != "b2 b1" {
		t.Errorf("after a kill on a full disk there are %q", got)
	}
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-04")
}

// When only the leader's disk is full, another leads and work goes on.
func TestFullDiskOfTheLeader(t *testing.T) {
	t.Parallel()
	v, ok := mount(t)
	if !ok {
		return
	}
	dir := t.TempDir()
	all := members(t, dir, 3, "http://", cli{t, nil}, func(id string) []string {
		if id == "c1" {
			return []string{"--data", filepath.Join(v.dir, id)}
		}
		return []string{"--data", filepath.Join(dir, id)}
	})
	var servers, rpcs []string
	for _, c := range all {
		servers, rpcs = append(servers, "http://"+c.http), append(rpcs, c.rpc)
	}
	agentProcess(t, dir, "--coordinators", strings.Join(rpcs, ","))
	c := cli{t, []string{"--server", strings.Join(servers, ","), "--timeout", "30s"}}
	c.must("node", "apply", "-f", nodes(t))
	if leads := leader(t, all, "http://", cli{t, nil}); leads.id != "c1" {
		c.must("cluster", "transfer", "--to", "c1")
		until(t, "c1 leads", func() (bool, error) {
			cluster, err := cli{t, nil}.cluster(servers[0])
			return cluster.Leader == "c1", err
		})
	}
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-01", "--wait")
	v.fill()
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-02..2024-01-05", "--wait")
	if now := leader(t, all, "http://", cli{t, nil}); now.id == "c1" {
		t.Error("c1 still leads with a full disk")
	}
	v.empty()
	until(t, "c1 has it all", func() (bool, error) {
		cluster, err := cli{t, nil}.cluster(servers[0])
		return err == nil && cluster.AppliedIndex == cluster.CommitIndex && cluster.Leader != "", err
	})
}

// A log that cannot be written is no end without words: the coordinator stops
// with a reason, and what it acknowledged is there when it comes back. A limit
// on the size of files stands for the disk, and a pipe for its log, which the
// limit would meet as well.
func TestFailingWrites(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	ports := free(t, 3)
	args := []string{"coordinator", "--id", "c1", "--data", data, "--bootstrap", "--http", ports[0], "--rpc", ports[1], "--raft", ports[2]}
	c := cli{t, []string{"--server", "http://" + ports[0], "--timeout", "30s"}}
	sick := exec.CommandContext(within(t), binary, args...)
	var words bytes.Buffer
	sick.Stderr = &words
	if err := sick.Start(); err != nil {
		t.Fatal(err)
	}
	c.must("node", "apply", "-f", nodes(t))
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-01")
	if err := unix.Prlimit(sick.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
	// The first answer is "unknown outcome", the next that nobody is there.
	if got := submit(c, "2024-01-02"); got.exit != 7 && got.exit != 6 {
		t.Errorf("exit %d\n%s%s", got.exit, got.out, got.err)
	}
	_ = sick.Wait() // its status is looked at
	if status := sick.ProcessState.ExitCode(); status != 6 || !strings.Contains(words.String(), "file too large") || !strings.Contains(words.String(), "see to the disk, then start it again") {
		t.Errorf("exit %d\n%s", status, words.String())
	}
	start(t, "c1", t.TempDir(), args...)
	if got := c.must("backfill", "list", "-o", "name"); !strings.HasSuffix(strings.TrimSpace(got), "b1") {
		t.Errorf("after the restart there are %q", got)
	}
	c.must("backfill", "submit", "--node", "hello", "--dates", "2024-01-03")
}
