package raftnode

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// slowLog tells when a write has begun, and takes its time.
type slowLog struct {
	raft.LogStore
	begun func()
	takes time.Duration
}

func (s slowLog) StoreLogs(logs []*raft.Log) error {
	s.begun()
	<-time.After(s.takes)
	return s.LogStore.StoreLogs(logs)
}

const patienceOfPaused = 500 * time.Millisecond

// TestWriteOfPaused is the process of TestAPauseIsNotTheDisks.
func TestWriteOfPaused(t *testing.T) {
	if os.Getenv("BACKFLEET_TEST_PAUSED") == "" {
		return
	}
	disk := guardLog(slowLog{raft.NewInmemStore(), func() { os.Stdout.WriteString("begun\n") }, patienceOfPaused / 5}, newTail(), "", patienceOfPaused, func(error) {})
	if err := disk.StoreLog(&raft.Log{Index: 1, Term: 1}); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("written\n")
}

// A process that is stopped in the middle of a write, for longer than the disk is
// given, does not take this for the disk's silence.
func TestAPauseIsNotTheDisks(t *testing.T) {
	p := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestWriteOfPaused$")
	p.Env = append(os.Environ(), "BACKFLEET_TEST_PAUSED=1")
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stderr = t.Output()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "begun" {
		t.Fatalf("it said %q", lines.Text())
	}
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(2 * patienceOfPaused) // the pause itself
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := p.Wait(); err != nil || !strings.HasPrefix(strings.Join(said, "\n"), "written") {
		t.Fatalf("after the pause: %v, %q", err, said)
	}
}
