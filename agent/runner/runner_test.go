package runner

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ending collects one process's events.
type ending struct {
	started chan error
	process *Process // once started has been received from
	grew    chan uint64
	exit    chan Exit
}

func newEnding() *ending {
	return &ending{started: make(chan error, 1), grew: make(chan uint64, 1000), exit: make(chan Exit, 1)}
}

func (e *ending) Started(p *Process, err error) {
	e.process = p
	e.started <- err
}

func (e *ending) Grew(n uint64) {
	select {
	case e.grew <- n:
	default:
	}
}
func (e *ending) Exited(x Exit) { e.exit <- x }

// patience is what a busy machine may take; only a failing test waits so long.
const patience = time.Minute

func (e *ending) wait(t *testing.T) Exit {
	t.Helper()
	select {
	case x := <-e.exit:
		return x
	case <-time.After(patience):
		t.Fatalf("the process's end was not announced within %s", patience)
		return Exit{}
	}
}

func newRunner(t testing.TB, c Config) *Runner {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

func script(t testing.TB, code string) Spec {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return Spec{Path: sh, Args: []string{"sh", "-c", code}, Env: os.Environ(), Dir: dir, Log: filepath.Join(dir, "logs", "log")}
}

// start begins a process and fails the test if it cannot.
func start(t *testing.T, r *Runner, spec Spec) *ending {
	t.Helper()
	e := newEnding()
	if err := r.Start(spec, e); err != nil {
		t.Fatal(err)
	}
	if err := <-e.started; err != nil {
		t.Fatal(err)
	}
	return e
}

func run(t *testing.T, r *Runner, spec Spec) (Exit, []byte) {
	t.Helper()
	x := start(t, r, spec).wait(t)
	return x, whole(t, spec.Log, x)
}

// whole is the log of a process that has ended, which is in files or in memory.
func whole(t *testing.T, base string, x Exit) []byte {
	t.Helper()
	_, log := readLog(t, base)
	if len(x.Log) > 0 && len(log) > 0 {
		t.Fatalf("%d bytes of log are in memory and %d in files, want it in one place", len(x.Log), len(log))
	}
	log = append(log, x.Log...)
	if uint64(len(log)) != x.LogBytes {
		t.Fatalf("the end was announced with %d bytes of log, %d are there", x.LogBytes, len(log))
	}
	return log
}

func TestOutputIsCompleteAndInOrder(t *testing.T) {
	r := newRunner(t, Config{})
	spec := script(t, `i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done; printf '\000\377\033' >&2; exit 7`)
	x, log := run(t, r, spec)
	if x.Status.ExitStatus() != 7 {
		t.Errorf("exit status %d, want 7", x.Status.ExitStatus())
	}
	got := plain(t, log)
	var want strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if got[0].String() != want.String() {
		t.Errorf("stdout is not what was printed: %d bytes, want %d", got[0].Len(), want.Len())
	}
	if !bytes.Equal(got[1].Bytes(), []byte{0, 0xff, 033}) {
		t.Errorf("stderr %q, want the three bytes printed", got[1].Bytes())
	}
}

func TestWithoutOutputThereIsNoFile(t *testing.T) {
	spec := script(t, "exit 0")
	if _, log := run(t, newRunner(t, Config{}), spec); len(log) != 0 {
		t.Errorf("log %q", log)
	}
	if _, err := os.Stat(filepath.Dir(spec.Log)); !os.IsNotExist(err) {
		t.Errorf("the log's folder was made for nothing (%v)", err)
	}
}

func TestAShortLogThatEndsSoonIsInNoFile(t *testing.T) {
	r := newRunner(t, Config{FlushEvery: time.Hour})
	for lines, inFile := range map[int]bool{1: false, 500: false, 2000: true} {
		spec := script(t, fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo $i; i=$((i+1)); done", lines))
		x, log := run(t, r, spec)
		if n := bytes.Count(log, []byte("\n")); n != lines || (len(x.Log) == 0) != inFile {
			t.Errorf("%d lines came back of %d, %d bytes of them in memory; want them in a file: %v", n, lines, len(x.Log), inFile)
		}
		if _, err := os.Stat(SegmentPath(spec.Log, 0)); (err == nil) != inFile {
			t.Errorf("%d lines: file %v, want one: %v", lines, err, inFile)
		}
		r.Hold(-len(x.Log))
	}
	if held := r.held.Load(); held != 0 {
		t.Errorf("%d bytes count as held when all were let go", held)
	}
}

func TestLogsInMemoryAreBounded(t *testing.T) {
	const bound = 10_000
	r := newRunner(t, Config{FlushEvery: time.Hour, LogMemory: bound})
	kept, files := 0, 0
	for range 30 {
		x, _ := run(t, r, script(t, "i=0; while [ $i -lt 20 ]; do echo 0123456789; i=$((i+1)); done"))
		if kept += len(x.Log); len(x.Log) == 0 {
			files++
		}
	}
	if kept > bound+2000 || kept < bound/2 || files == 0 {
		t.Errorf("%d bytes of logs are kept in memory and %d logs in files, want about %d bytes", kept, files, bound)
	}
	r.Hold(bound) // what still runs has its part of it
	e := start(t, r, script(t, "echo visible; exec sleep 1000"))
	select {
	case <-e.grew:
	case <-time.After(10 * time.Second):
		t.Error("with no memory left, a line was not written at once")
	}
	e.process.Signal(syscall.SIGKILL)
	r.Hold(-bound - kept - len(e.wait(t).Log))
	if held := r.held.Load(); held != 0 {
		t.Errorf("%d bytes count as held when all were let go", held)
	}
}

func TestWhatStaysInTheGroupDiesWithItsLeader(t *testing.T) {
	spec := script(t, `(trap '' TERM HUP; while :; do sleep 1000; done) & echo $!`)
	_, log := run(t, newRunner(t, Config{DrainFor: time.Hour}), spec) // with an hour to drain, only a kill ends it in time
	out := plain(t, log)
	child, err := strconv.Atoi(strings.TrimSpace(out[0].String()))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the child left in the group", func() bool { return dead(child) }) // it closes its files before
}

// stateOf gives a process's state letter, empty when there is none.
func stateOf(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	rest := string(data[bytes.LastIndexByte(data, ')')+1:])
	return strings.Fields(rest)[0]
}

func TestAProcessThatLeftTheGroupDoesNotHoldUpTheResult(t *testing.T) {
	spec := script(t, `setsid sh -c 'echo $$ >pid; echo $$; exec sleep 1000' & while [ ! -s pid ]; do :; done`)
	e := start(t, newRunner(t, Config{DrainFor: 100 * time.Millisecond}), spec)
	out := plain(t, whole(t, spec.Log, e.wait(t)))
	escaped, err := strconv.Atoi(strings.TrimSpace(out[0].String()))
	if err != nil || escaped == e.process.Pid() {
		t.Fatalf("output %q", out[0].String())
	}
	_ = syscall.Kill(escaped, syscall.SIGKILL)
}

func TestPartialLinesAreVisibleWhileTheProcessRuns(t *testing.T) {
	spec := script(t, `printf 'working'; exec sleep 1000`)
	e := start(t, newRunner(t, Config{}), spec)
	select {
	case n := <-e.grew:
		_, log := readLog(t, spec.Log)
		if uint64(len(log)) != n || !bytes.HasSuffix(log, []byte(" stdout P working\n")) {
			t.Errorf("announced %d bytes, log is %q", n, log)
		}
	case <-time.After(10 * time.Second):
		t.Error("a line without an end was not written within 10 s")
	}
	e.process.Signal(syscall.SIGKILL)
	if x := e.wait(t); x.Status.Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v, want SIGKILL", x.Status)
	}
	e.process.Signal(syscall.SIGKILL) // must meet nobody
}

func TestAProgramThatIsNotThereIsAnError(t *testing.T) {
	spec := script(t, "")
	spec.Path = "/nowhere/sh"
	e := newEnding()
	if err := newRunner(t, Config{}).Start(spec, e); err != nil {
		t.Fatal(err)
	}
	if err := <-e.started; !os.IsNotExist(err) {
		t.Errorf("error %v, want that the file does not exist", err)
	}
}

func TestStopTwiceAndStartAfterwards(t *testing.T) {
	r := newRunner(t, Config{})
	r.Stop()
	r.Stop()
	if err := r.Start(script(t, ":"), newEnding()); err == nil {
		t.Error("a stopped runner started a process")
	}
}

// BenchmarkBareExec is the bound: the same fork and exec with nothing around.
func BenchmarkBareExec(b *testing.B) {
	spec := script(b, ":")
	null, _ := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	defer null.Close()
	work := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range work {
				pid, err := syscall.ForkExec(spec.Path, spec.Args, &syscall.ProcAttr{
					Env: spec.Env, Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setpgid: true}})
				if err != nil {
					b.Error(err)
					continue
				}
				_, _ = syscall.Wait4(pid, nil, 0, nil)
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "attempts/s")
}

// BenchmarkRunner runs the same through a Runner; with output, too.
func BenchmarkRunner(b *testing.B) {
	for name, code := range map[string]string{"silent": ":", "oneLine": "echo done"} {
		b.Run(name, func(b *testing.B) {
			r := newRunner(b, Config{})
			spec := script(b, code)
			slots := make(chan struct{}, 8)
			for i := 0; b.Loop(); i++ {
				slots <- struct{}{}
				spec.Log = filepath.Join(spec.Dir, strconv.Itoa(i))
				if err := r.Start(spec, slot{slots}); err != nil {
					b.Fatal(err)
				}
			}
			for range cap(slots) {
				slots <- struct{}{}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "attempts/s")
		})
	}
}

type slot struct{ slots chan struct{} }

func (slot) Started(*Process, error) {}
func (slot) Grew(uint64)             {}
func (s slot) Exited(Exit)           { <-s.slots }
