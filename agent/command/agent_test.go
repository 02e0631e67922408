package command_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/agent/attempt"
	"backfleet/agent/command"
	"backfleet/agent/task"
	"backfleet/pkg/wire"
)

const (
	asAgent = "BACKFLEET_TEST_AS_AGENT"
	asTask  = "BACKFLEET_TEST_AS_TASK"
	asBoot  = "BACKFLEET_TEST_BOOT" // the start of the host that it believes in
)

// The test binary is the slim binary as well: agent, keeper and guard; and the
// program for tasks.
func TestMain(m *testing.M) {
	if os.Getenv(asTask) != "" {
		os.Exit(task.Main(os.Args[1:]))
	}
	if id := os.Getenv(asBoot); id != "" {
		command.SetBoot(id)
	}
	if os.Getenv(asAgent) != "" {
		os.Exit(command.Main("test"))
	}
	os.Exit(m.Run())
}

const soon = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if <-tick.C; time.Since(begin) > soon {
			t.Fatalf("%s did not come within %s", what, soon)
		}
	}
	return time.Since(begin)
}

func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(data[bytes.LastIndexByte(data, ')'):], []byte(") Z"))
}

// process is an agent's session process.
type process struct {
	*exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
}

// agent starts a session process on a data folder, whose keeper the test ends.
func agent(t testing.TB, data string, coordinators ...string) *process {
	t.Helper()
	return agentOf(t, 4, data, coordinators...)
}

// agentOf starts one with some slots.
func agentOf(t testing.TB, slots int, data string, coordinators ...string) *process {
	t.Helper()
	return agentAt(t, "/proc/self/exe", slots, data, coordinators...)
}

// agentAt starts one of a binary.
func agentAt(t testing.TB, binary string, slots int, data string, coordinators ...string) *process {
	t.Helper()
	return agentWith(t, binary, data, "--group", fmt.Sprint("default=", slots), "--coordinators", strings.Join(coordinators, ","))
}

// agentWith starts one with settings.
func agentWith(t testing.TB, binary, data string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(binary, append([]string{"--id", "a1", "--data", data}, args...)...), ended: make(chan struct{})}
	p.Env = append(os.Environ(), asAgent+"=1")
	p.Stderr = &p.output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.Wait() }()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(data, "keeper", "keeper.log"))
			t.Logf("agent:\n%s\nkeeper:\n%s", p.output.String(), log)
		}
		endKeeper(t, data)
	})
	return p
}

// endKeeper ends the keeper of a data folder, by the id that it tells itself.
func endKeeper(t testing.TB, data string) {
	log, _ := os.ReadFile(filepath.Join(data, "keeper", "keeper.log"))
	for _, field := range strings.Fields(string(log)) {
		if text, ok := strings.CutPrefix(field, "pid="); ok {
			pid, _ := strconv.Atoi(text)
			if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(line, []byte(data)) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				eventually(t, "the keeper's end", func() bool { return !alive(pid) })
			}
		}
	}
}

func (p *process) await(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.ProcessState.ExitCode()
	case <-time.After(soon):
		t.Fatalf("the agent did not end within %s", soon)
		return 0
	}
}

func key(instance uint64) attempt.Key {
	return attempt.Key{Plan: 12, Instance: instance, Attempt: 1, Fence: 70 + instance}
}

// logs are the log segments that the keeper has.
func logs(t *testing.T, data string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(data, "keeper", "logs"))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestAnAttemptFromWorkToResultAndLog(t *testing.T) {
	l, data := lead(t, nil, ""), t.TempDir()
	p := agent(t, data, l.address)
	if h := l.hello(); h.Agent.Id != "a1" || h.Agent.Incarnation == "" || len(h.Agent.Groups) != 1 || h.Agent.Groups[0].Slots != 4 {
		t.Errorf("hello %v", h)
	}
	node := &wire.Node{Id: "n1", Environment: []*wire.Assignment{{Name: "MINE", Value: "m v"}},
		Code: `echo "${yyyymmdd} ${day} $1 $2 $day $MINE"; env | grep ^BACKFLEET_ | sort | grep -v -e KEEPER -e METRICS; cat; exit 3`}
	values := []*wire.Assignment{{Name: "day", Value: "2018-07-21"}, {Name: "b", Value: "x y"}}
	l.assign(node, values, key(1))
	if r := l.result(); r.Outcome != wire.Outcome_FAILED || r.ExitCode != 3 || r.Cause != "exit code 3" {
		t.Errorf("result %v", r)
	}
	log := l.log(key(1), "the end", func(_ string, ended bool) bool { return ended })
	var text strings.Builder
	for line := range strings.Lines(log) {
		_, rest, _ := strings.Cut(line, " stdout F ")
		text.WriteString(rest)
	}
	want := `20180721 2018-07-21 2018-07-21 x y 2018-07-21 m v
BACKFLEET_ATTEMPT=1
BACKFLEET_DATA_TIMESTAMP=2018-07-21
BACKFLEET_FENCE=71
BACKFLEET_INSTANCE=b12.1
BACKFLEET_NODE=n1
BACKFLEET_PLAN=b12
BACKFLEET_RESOURCE_GROUP=default
BACKFLEET_SCHEDULED_TIME=2018-07-22 01:00:00
`
	if text.String() != want {
		t.Errorf("log:\n%s\nwant the text:\n%s", log, want)
	}

	l.assign(&wire.Node{Id: "n2", Code: "echo ${yyyy/12}"}, nil, key(2)) // a time offset where none may be
	if r := l.result(); r.Outcome != wire.Outcome_FAILED || r.Ref.Instance != 2 || r.Cause == "" {
		t.Errorf("result %v, want a failure with its cause", r)
	}
	eventually(t, "that the agent forgets the log", func() bool { return len(logs(t, data)) == 0 })

	twin := agent(t, data, l.address)
	if code := twin.await(t); code != 4 || !strings.Contains(twin.output.String(), "held by another process") {
		t.Errorf("a second agent on the folder: exit %d, %s", code, twin.output.String())
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	if code := p.await(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	eventually(t, "that the idle keeper quits, too", func() bool {
		log, _ := os.ReadFile(filepath.Join(data, "keeper", "keeper.log"))
		for _, field := range strings.Fields(string(log)) {
			if text, ok := strings.CutPrefix(field, "pid="); ok {
				pid, _ := strconv.Atoi(text)
				return !alive(pid)
			}
		}
		return false
	})
}

func TestAttemptsOutliveTheSessionAndAreAdopted(t *testing.T) {
	l, data := lead(t, nil, ""), t.TempDir()
	first := agent(t, data, l.address)
	incarnation := l.hello().Agent.Incarnation
	flag := filepath.Join(data, "go")
	l.assign(&wire.Node{Id: "n", Code: `echo before $$; while [ ! -e ` + flag + ` ]; do sleep 0.01; done; echo after $$`}, nil, key(1))
	l.assign(&wire.Node{Id: "m", Code: `echo short; sleep 0.05; echo gone`}, nil, key(2))
	l.log(key(1), "its first line", func(log string, _ bool) bool { return strings.Contains(log, "before") })
	_ = first.Process.Kill()
	<-first.ended
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	agent(t, data, l.address)
	h := l.hello()
	if h.Agent.Incarnation != incarnation {
		t.Error("the keeper was not adopted")
	}
	for range 2 {
		if r := l.result(); r.Outcome != wire.Outcome_SUCCEEDED {
			t.Errorf("result %v", r)
		}
	}
	for i, last := range []string{"after", "gone"} {
		log := l.log(key(uint64(i+1)), "the end", func(_ string, ended bool) bool { return ended })
		if n := strings.Count(log, "\n"); n != 2 || !strings.Contains(log, last) {
			t.Errorf("log %q, want two lines", log)
		}
	}
}

func TestTheLeaseEndsWhileTheSessionIsStopped(t *testing.T) {
	l, data := lead(t, &wire.Welcome{LeaseMs: 2000, RenewMs: 300, MarginMs: 500}, ""), t.TempDir()
	p := agent(t, data, l.address)
	l.hello()
	l.assign(&wire.Node{Id: "n", Code: `echo $$; trap '' TERM; while :; do sleep 1000; done`}, nil, key(1))
	log := l.log(key(1), "its process id", func(log string, _ bool) bool { return log != "" })
	fields := strings.Fields(log)
	pid, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	before := l.renewed
	l.mu.Unlock()
	eventually(t, "renewals past the first lease's end", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.renewed >= before+8
	})
	if !alive(pid) {
		t.Fatal("the attempt died although its lease was renewed")
	}
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if took := eventually(t, "the end of the attempt", func() bool { return !alive(pid) }); took > 1600*time.Millisecond {
		t.Errorf("it lived %s after the session stopped, want at most the lease of 2 s less the margin of 0.5 s", took)
	}
	_ = p.Process.Signal(syscall.SIGCONT)
	if r := l.result(); r.Outcome != wire.Outcome_LOST {
		t.Errorf("result %v, want it lost", r)
	}
}

func TestANewLeaderIsFoundFastAndDisturbsNothing(t *testing.T) {
	old := lead(t, nil, "")
	follower := lead(t, nil, old.address)
	data := t.TempDir()
	agent(t, data, follower.address) // knows only one that does not lead
	old.hello()
	flag := filepath.Join(data, "go")
	old.assign(&wire.Node{Id: "n", Code: `echo here; while [ ! -e ` + flag + ` ]; do sleep 0.01; done`}, nil, key(1))
	eventually(t, "the attempt", func() bool { return len(logs(t, data)) == 1 })
	follower.mu.Lock()
	follower.hint = "" // elected
	follower.mu.Unlock()
	begin := time.Now()
	old.server.Stop()
	if h := follower.hello(); len(h.Held) != 1 || attempt.KeyOf(h.Held[0]) != key(1) {
		t.Errorf("hello %v, want the attempt held", h)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the new leader was found after %s, want less than a second", took)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := follower.result(); r.Outcome != wire.Outcome_SUCCEEDED {
		t.Errorf("result %v", r)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	cmd := command.Agent("test", nil)
	cmd.SetArgs([]string{"--coordinators", "10.0.0.1:7,nonsense", "--group", "a=0", "--group", "a=1", "--data", t.TempDir()})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	for _, want := range []string{"coordinators[0]: 10.0.0.1:7 is not on this host", "coordinators[1]: expected host:port", "--group: groups: \"a\" stands there twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
}
