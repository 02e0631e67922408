package command_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"backfleet/agent/keeper"
	"backfleet/pkg/wire"
)

// run runs a command of the slim binary to its end.
func run(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asAgent+"=1")
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// listen notes what an agent says of itself.
func (l *leader) listen() *said {
	s := &said{}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn = func(r *wire.Report) *wire.Assign {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.draining = s.draining || r.Draining
		s.leaving = s.leaving || r.Leaving
		if s.leaving && (!r.Leaving || len(r.Held)+len(r.Results) > 0) {
			s.after++
		}
		return &wire.Assign{}
	}
	return s
}

// said is guarded by its lock.
type said struct {
	mu                sync.Mutex
	draining, leaving bool
	after             int // reports that should not come, or not so, when it left
}

func (s *said) get() (draining, leaving bool, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining, s.leaving, s.after
}

// untilFile is code that ends when a file is there.
func untilFile(path string) *wire.Node {
	return &wire.Node{Id: "n", Code: `echo here; while [ ! -e ` + path + ` ]; do sleep 0.01; done; echo there`}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// keeperPid is the keeper's process, by the agent's own word.
func keeperPid(t *testing.T, data string) int { return int(statusOf(t, data).Keeper.Pid) }

// TestADrainedAgentFinishesAndLeaves: by the command and by the signal.
func TestADrainedAgentFinishesAndLeaves(t *testing.T) {
	for name, drain := range map[string]func(t *testing.T, p *process, data string){
		"command": func(t *testing.T, _ *process, data string) {
			if out, code := run(t, "drain", "--data", data); code != 0 || !strings.Contains(out, "draining") || !strings.Contains(out, "b12.1") {
				t.Errorf("drain: %d\n%s", code, out)
			}
		},
		"signal": func(_ *testing.T, p *process, _ string) { _ = p.Process.Signal(syscall.SIGUSR1) },
	} {
		t.Run(name, func(t *testing.T) {
			l, data := lead(t, nil, ""), t.TempDir()
			said, flag := l.listen(), filepath.Join(data, "go")
			p := agent(t, data, l.address)
			l.hello()
			l.assign(untilFile(flag), nil, key(1))
			l.log(key(1), "its first line", func(log string, _ bool) bool { return log != "" })
			pid := keeperPid(t, data)
			drain(t, p, data)
			eventually(t, "the word that it drains", func() bool { draining, _, _ := said.get(); return draining })
			if out, code := run(t, "status", "--data", data); code != 0 || !strings.Contains(out, "running") || !strings.Contains(out, "draining") || !strings.Contains(out, "b12.1") {
				t.Errorf("status: %d\n%s", code, out)
			}
			if _, leaving, _ := said.get(); leaving {
				t.Error("it leaves with an attempt running")
			}
			touch(t, flag)
			if r := l.result(); r.Outcome != wire.Outcome_SUCCEEDED {
				t.Errorf("result %v", r)
			}
			if code := p.await(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if _, leaving, after := said.get(); !leaving || after != 0 {
				t.Errorf("leaving %v, %d wrong words", leaving, after)
			}
			if log := l.log(key(1), "the end", func(_ string, ended bool) bool { return ended }); !strings.Contains(log, "there") {
				t.Errorf("log %q", log)
			}
			eventually(t, "the keeper's end", func() bool { return !alive(pid) })
			if out, code := run(t, "status", "--data", data); code != 6 || !strings.Contains(out, "no agent answers") {
				t.Errorf("status without an agent: %d\n%s", code, out)
			}
		})
	}
}

func TestADrainsDeadlineGivesWorkBack(t *testing.T) {
	l, data := lead(t, nil, ""), t.TempDir()
	said := l.listen()
	p := agent(t, data, l.address)
	l.hello()
	l.assign(&wire.Node{Id: "n", Code: `echo here; trap 'echo bye; exit 3' TERM; while :; do sleep 0.01; done`}, nil, key(1))
	l.log(key(1), "its first line", func(log string, _ bool) bool { return log != "" })
	if out, code := run(t, "drain", "--data", data, "--deadline", "300ms"); code != 0 || !strings.Contains(out, "what runs is stopped in") {
		t.Errorf("drain: %d\n%s", code, out)
	}
	if r := l.result(); r.Outcome != wire.Outcome_LOST || !strings.Contains(r.Cause, "its agent was to be empty") {
		t.Errorf("result %v, want it to run again elsewhere", r)
	}
	if code := p.await(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, leaving, after := said.get(); !leaving || after != 0 {
		t.Errorf("leaving %v, %d wrong words", leaving, after)
	}
	if log := l.log(key(1), "the end", func(_ string, ended bool) bool { return ended }); !strings.Contains(log, "bye") {
		t.Errorf("log %q, want the process to have been asked to end", log)
	}
}

func TestAnAgentThatWaitsWhenItIsStopped(t *testing.T) {
	t.Setenv("BACKFLEET_AGENT_DRAIN_ON_STOP", "wait")
	l, data := lead(t, nil, ""), t.TempDir()
	said, flag := l.listen(), filepath.Join(data, "go")
	p := agent(t, data, l.address)
	l.hello()
	l.assign(untilFile(flag), nil, key(1))
	l.log(key(1), "its first line", func(log string, _ bool) bool { return log != "" })
	_ = p.Process.Signal(syscall.SIGTERM)
	eventually(t, "the word that it drains", func() bool { draining, _, _ := said.get(); return draining })
	touch(t, flag)
	if r := l.result(); r.Outcome != wire.Outcome_SUCCEEDED {
		t.Errorf("result %v", r)
	}
	if code := p.await(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, leaving, _ := said.get(); !leaving {
		t.Error("it did not say that it leaves")
	}
}

func TestAStoppedAgentLeavesOnlyWithNothingRunning(t *testing.T) {
	for name, busy := range map[string]bool{"idle": false, "busy": true} {
		t.Run(name, func(t *testing.T) {
			l, data := lead(t, nil, ""), t.TempDir()
			said := l.listen()
			p := agent(t, data, l.address)
			l.hello()
			if busy {
				l.assign(untilFile(filepath.Join(data, "go")), nil, key(1))
				l.log(key(1), "its first line", func(log string, _ bool) bool { return log != "" })
			}
			_ = p.Process.Signal(syscall.SIGTERM)
			if code := p.await(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if draining, leaving, _ := said.get(); !draining || leaving == busy {
				t.Errorf("draining %v, leaving %v", draining, leaving)
			}
		})
	}
}

func TestTheServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	heard := make(chan string, 1000)
	go func() {
		data := make([]byte, 4096)
		for {
			n, err := socket.Read(data)
			if err != nil {
				return
			}
			heard <- string(data[:n])
		}
	}()
	until := func(words ...string) {
		t.Helper()
		late := time.After(soon)
		for missing := words; len(missing) > 0; {
			select {
			case states := <-heard:
				if strings.Contains(states, missing[0]) {
					missing = missing[1:]
				}
			case <-late:
				t.Fatalf("%q was not said within %s", missing[0], soon)
			}
		}
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "300000")
	l, data := lead(t, nil, ""), t.TempDir()
	p := agent(t, data, l.address)
	l.hello()
	until("READY=1", "STATUS=0 attempts, in session with "+l.address, "WATCHDOG=1", "WATCHDOG=1")
	_ = p.Process.Signal(syscall.SIGTERM)
	until("STOPPING=1")
	if code := p.await(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestAHostThatWasRestarted: what ran is reported at once, with the reason, and
// only once.
func TestAHostThatWasRestarted(t *testing.T) {
	t.Setenv(asBoot, "first")
	l, data := lead(t, nil, ""), t.TempDir()
	p := agent(t, data, l.address)
	if h := l.hello(); h.Agent.Boot != "first" || h.Agent.KeeperVersion != "test" || !h.Ahead || !h.Weights {
		t.Errorf("hello %v", h)
	}
	l.assign(untilFile(filepath.Join(data, "go")), nil, key(1), key(2))
	for i := range uint64(2) {
		l.log(key(i+1), "its first line", func(log string, _ bool) bool { return log != "" })
	}
	pid := keeperPid(t, data)
	_ = p.Process.Kill()
	<-p.ended
	_ = syscall.Kill(pid, syscall.SIGKILL) // and the guard ends what ran
	eventually(t, "the keeper's end", func() bool { return !alive(pid) })

	t.Setenv(asBoot, "second")
	p = agent(t, data, l.address)
	if h := l.hello(); h.Agent.Boot != "second" || len(h.Held) != 2 {
		t.Errorf("hello %v", h)
	}
	for range 2 {
		if r := l.result(); r.Outcome != wire.Outcome_LOST || !strings.Contains(r.Cause, "the host was restarted") {
			t.Errorf("result %v", r)
		}
	}
	for i := range uint64(2) {
		l.log(key(i+1), "the end", func(_ string, ended bool) bool { return ended })
	}
	eventually(t, "that nothing is left", func() bool { return len(statusOf(t, data).Attempts) == 0 })
	_ = p.Process.Signal(syscall.SIGTERM)
	p.await(t)
	agent(t, data, l.address)
	if h := l.hello(); len(h.Held) != 0 {
		t.Errorf("hello %v, want nothing held any more", h)
	}
	select {
	case r := <-l.results:
		t.Errorf("reported again: %v", r)
	default:
	}
}

// oldKeeper is a keeper of an earlier version, which cannot give way.
type oldKeeper struct {
	wire.UnimplementedKeeperServer
	mu   sync.Mutex
	runs bool
	ends chan struct{} // the attempt's end
	quit func()
}

func (k *oldKeeper) Info(context.Context, *wire.KeeperInfoRequest) (*wire.KeeperInfo, error) {
	return &wire.KeeperInfo{Incarnation: "old", Version: "old", Pid: 1}, nil
}

func (k *oldKeeper) Watch(_ *wire.WatchAttempts, stream grpc.ServerStreamingServer[wire.KeptAttempt]) error {
	first := &wire.KeptAttempt{Ref: key(1).Ref(), Running: true}
	last := &wire.KeptAttempt{Ref: key(1).Ref(), Result: &wire.AttemptResult{Ref: key(1).Ref(), Outcome: wire.Outcome_SUCCEEDED}}
	for _, m := range []*wire.KeptAttempt{first, {Complete: true}} {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	select {
	case <-k.ends:
		k.mu.Lock()
		k.runs = false
		k.mu.Unlock()
		if err := stream.Send(last); err != nil {
			return err
		}
	case <-stream.Context().Done():
	}
	<-stream.Context().Done()
	return nil
}

func (k *oldKeeper) Extend(context.Context, *wire.ExtendAttempts) (*wire.ExtendedAttempts, error) {
	return &wire.ExtendedAttempts{}, nil
}

func (k *oldKeeper) Forget(context.Context, *wire.ForgetAttempt) (*wire.ForgottenAttempt, error) {
	return &wire.ForgottenAttempt{}, nil
}

func (k *oldKeeper) Quit(context.Context, *wire.QuitKeeper) (*wire.QuittingKeeper, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.runs {
		return nil, status.Error(codes.FailedPrecondition, "the keeper has 1 attempts running; stop them first")
	}
	go k.quit()
	return &wire.QuittingKeeper{}, nil
}

// TestAKeeperThatCannotGiveWay is used as it is, and replaced when it has
// nothing to do.
func TestAKeeperThatCannotGiveWay(t *testing.T) {
	l, data := lead(t, nil, ""), t.TempDir()
	dir := filepath.Join(data, "keeper")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path, release, err := keeper.SocketPath(dir, "keeper.sock")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	server := grpc.NewServer()
	old := &oldKeeper{runs: true, ends: make(chan struct{}), quit: server.Stop}
	wire.RegisterKeeperServer(server, old)
	go server.Serve(listener)
	t.Cleanup(server.Stop)

	agent(t, data, l.address)
	if h := l.hello(); h.Agent.Incarnation != "old" || len(h.Held) != 1 {
		t.Fatalf("hello %v", h)
	}
	if s := statusOf(t, data); s.Keeper.Outdated == "" {
		t.Errorf("keeper %+v, want it said that it is outdated", s.Keeper)
	}
	if out, code := run(t, "status", "--data", data); code != 0 || !strings.Contains(out, "replaced as soon as nothing runs") {
		t.Errorf("status: %d\n%s", code, out)
	}
	close(old.ends)
	if r := l.result(); r.Outcome != wire.Outcome_SUCCEEDED {
		t.Errorf("result %v", r)
	}
	if h := l.hello(); h.Agent.Incarnation == "old" || h.Agent.KeeperVersion != "test" {
		t.Errorf("hello %v, want that of the new keeper", h)
	}
	l.assign(&wire.Node{Id: "n", Code: "echo fine"}, nil, key(2))
	for {
		r := l.result()
		if r.Ref.Instance == 2 {
			if r.Outcome != wire.Outcome_SUCCEEDED {
				t.Errorf("result %v", r)
			}
			break
		}
	}
	if s := statusOf(t, data); s.Keeper.Outdated != "" {
		t.Errorf("keeper %+v", s.Keeper)
	}
}

func TestWhichAgent(t *testing.T) {
	if out, code := run(t, "status"); code != 2 || !strings.Contains(out, "which agent?") {
		t.Errorf("%d %s", code, out)
	}
	if out, code := run(t, "drain", "--data", t.TempDir(), "--deadline", "soon"); code != 2 || !strings.Contains(out, "deadline") {
		t.Errorf("%d %s", code, out)
	}
	if out, code := run(t, "status", "--data", filepath.Join(t.TempDir(), "none")); code != 6 {
		t.Errorf("%d %s", code, fmt.Sprint(out))
	}
}
