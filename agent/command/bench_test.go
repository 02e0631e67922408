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

	"backfleet/pkg/wire"
)

// BenchmarkAgent runs real attempts through all processes of an agent, as many
// at a time as the window says. What it reports is processor time, since that
// is comparable on a busy machine: of the session, the keeper, and of the
// attempts themselves, whose floor BenchmarkBareExec gives. With a window of 1
// the time per operation is the way there and back.
func BenchmarkAgent(b *testing.B) {
	for _, code := range []string{"true", "echo done"} {
		for _, window := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", strings.Fields(code)[0], window), func(b *testing.B) { benchmark(b, code, window) })
		}
	}
}

func benchmark(b *testing.B, code string, window int) {
	l, data := lead(b, nil, ""), b.TempDir()
	p := agent(b, data, l.address)
	l.hello()
	node := &wire.Node{Id: "n", Code: code}
	l.assign(node, nil, key(0))
	l.result()
	keeper := keeperOf(b, data)
	guard := guardOf(b, keeper)
	session, kept, guarded := cpu(b, p.Process.Pid), cpu(b, keeper), cpu(b, guard)
	begin := time.Now()
	given, done := 0, 0
	for b.Loop() {
		if given-done >= window {
			l.result()
			done++
		}
		given++
		l.assign(node, nil, key(uint64(given)))
	}
	for ; done < given; done++ {
		l.result()
	}
	each := func(d time.Duration, name string) { b.ReportMetric(float64(d.Microseconds())/float64(given), name) }
	b.ReportMetric(float64(given)/time.Since(begin).Seconds(), "attempts/s")
	each(cpu(b, p.Process.Pid).own-session.own, "µs-session")
	each(cpu(b, keeper).own-kept.own, "µs-keeper")
	each(cpu(b, guard).own-guarded.own, "µs-guard")
	each(cpu(b, keeper).children-kept.children, "µs-child")
	b.ReportMetric(resident(p.Process.Pid), "KB-session")
	b.ReportMetric(resident(keeper), "KB-keeper")
}

// BenchmarkBareExec is the floor: fork, exec and wait, with nothing around.
func BenchmarkBareExec(b *testing.B) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		b.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	before := cpu(b, os.Getpid())
	for b.Loop() {
		pid, err := syscall.ForkExec(sh, []string{"sh", "-c", "true"}, &syscall.ProcAttr{
			Env: os.Environ(), Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setpgid: true}})
		if err != nil {
			b.Fatal(err)
		}
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	after := cpu(b, os.Getpid())
	b.ReportMetric(float64((after.own-before.own).Microseconds())/float64(b.N), "µs-parent")
	b.ReportMetric(float64((after.children-before.children).Microseconds())/float64(b.N), "µs-child")
}

// usage is the processor time of a process and of its children that ended.
type usage struct{ own, children time.Duration }

func cpu(b *testing.B, pid int) usage {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	ticks := func(i int) time.Duration {
		n, _ := strconv.Atoi(fields[i])
		return time.Duration(n) * 10 * time.Millisecond
	}
	return usage{ticks(11) + ticks(12), ticks(13) + ticks(14)}
}

func resident(pid int) float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return float64(kb)
}

func keeperOf(b *testing.B, data string) int {
	log, _ := os.ReadFile(filepath.Join(data, "keeper", "keeper.log"))
	_, rest, _ := strings.Cut(string(log), " pid=")
	pid, err := strconv.Atoi(strings.Fields(rest + " none")[0])
	if err != nil {
		b.Fatalf("the keeper does not tell its id: %s", log)
	}
	return pid
}

func guardOf(b *testing.B, keeper int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", keeper))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(text)) {
			if line, _ := os.ReadFile("/proc/" + field + "/cmdline"); bytes.Contains(line, []byte("\x00guard\x00")) {
				pid, _ := strconv.Atoi(field)
				return pid
			}
		}
	}
	b.Fatal("the keeper has no guard")
	return 0
}
