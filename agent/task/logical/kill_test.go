package logical

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/task/output"
	"backfleet/pkg/wire"
)

// asChild names to this program, started again, the file of the task to run.
const asChild = "BACKFLEET_TEST_LOGICAL"

func TestMain(m *testing.M) {
	path := os.Getenv(asChild)
	if path == "" {
		os.Exit(m.Run())
	}
	if err := child(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	task := &wire.Task{}
	if err := proto.Unmarshal(text, task); err != nil {
		return err
	}
	return Run(context.Background(), task, &output.Output{Log: os.Stdout})
}

// tagged is a table whose units both write many rows with a tag.
func tagged(tag string) *wire.Logical {
	code := fmt.Sprintf("WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < %d) SELECT id, '%s' AS a, '%s' AS b FROM n", drillRows, tag, tag)
	return &wire.Logical{
		Table: "dim", Partition: "ds", PartitionValue: "20210111",
		Fields: []*wire.LogicalField{{Name: "id", Type: "integer", PrimaryKey: true}, {Name: "a", Type: "text"}, {Name: "b", Type: "text"}},
		Units:  []*wire.Unit{{Id: "one", Code: code, Fields: []string{"a"}}, {Id: "two", Code: code, Fields: []string{"b"}}},
	}
}

// process starts the task in a process of its own, which is killed after some
// time; 0: never. It says how long it took, and whether it came to its end.
func (s *shop) process(tag string, after time.Duration) (took time.Duration, ended bool) {
	s.Helper()
	s.fence++
	text, err := proto.Marshal(&wire.Task{
		Node:    &wire.Node{Id: "dim", Source: "shop", Logical: tagged(tag)},
		Sources: []*wire.OpenSource{s.source}, Fence: s.fence, Instance: "b1.1",
	})
	if err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(s.TempDir(), "task")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.Fatal(err)
	}
	var log bytes.Buffer
	c := exec.CommandContext(s.Context(), os.Args[0])
	c.Env = append(os.Environ(), asChild+"="+path)
	c.Stdout, c.Stderr = &log, &log
	began := time.Now()
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	if after > 0 {
		kill := time.AfterFunc(after, func() { _ = c.Process.Kill() })
		defer kill.Stop()
	}
	err = c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		return time.Since(began), false
	}
	if err != nil {
		s.Fatalf("%v\n%s", err, log.String())
	}
	return time.Since(began), true
}

// TestR12_2_KilledAtAnyMoment: each unit has all of its old rows or all of its new
// ones, and the second no newer ones than the first.
func TestR12_2_KilledAtAnyMoment(t *testing.T) {
	s := open(t)
	whole, ended := s.process("t0", 0)
	if !ended {
		t.Fatal("it was killed by somebody else")
	}
	rows := func(tag string) string { return fmt.Sprintf("%d 1 %s", drillRows, tag) }
	one, two := rows("t0"), rows("t0")
	killed := 0
	for i := range drillKills {
		tag := fmt.Sprintf("t%d", i+1)
		after := time.Duration(1 + rand.Int64N(int64(whole)))
		if _, ended := s.process(tag, after); !ended {
			killed++
		}
		first := s.rows("SELECT COUNT(*), COUNT(DISTINCT a), MIN(a) FROM dim__one")
		second := s.rows("SELECT COUNT(*), COUNT(DISTINCT b), MIN(b) FROM dim__two")
		if first != one && first != rows(tag) || second != two && (second != rows(tag) || first != second) {
			t.Fatalf("killed after %s of %s: %q and %q, which had %q and %q", after, whole, first, second, one, two)
		}
		one, two = first, second
		s.see("SELECT COUNT(*) FROM dim", fmt.Sprint(drillRows))
	}
	if killed == 0 {
		t.Errorf("none of %d was killed before its end", drillKills)
	}
	if _, ended := s.process("last", 0); !ended {
		t.Fatal("it was killed by somebody else")
	}
	s.see("SELECT COUNT(*), COUNT(DISTINCT a), COUNT(DISTINCT b), MIN(a), MIN(b) FROM dim", fmt.Sprintf("%d 1 1 last last", drillRows))
}
