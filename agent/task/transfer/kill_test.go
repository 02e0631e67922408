package transfer

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"backfleet/agent/task/metrics"
	"backfleet/agent/task/output"
	"backfleet/pkg/wire"
)

var kills = flag.Int("transfer.kills", drillKills, "how often a transfer is killed, for each target")

// asChild names to this program, started again, the file of the task to run.
const asChild = "BACKFLEET_TEST_TRANSFER"

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
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	task := &wire.Task{}
	if err := proto.Unmarshal(b, task); err != nil {
		return err
	}
	return Run(context.Background(), task, &output.Output{Log: os.Stdout, Metrics: &metrics.Report{}})
}

// process is a transfer in a process of its own.
type process struct {
	*exec.Cmd
	output bytes.Buffer
}

func start(t *testing.T, task *wire.Task) *process {
	t.Helper()
	b, err := proto.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.Env = append(os.Environ(), asChild+"="+write(t, t.TempDir(), "task", string(b)))
	p.Stdout, p.Stderr = &p.output, &p.output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// run waits for its end; false: it was killed.
func (p *process) ended(t *testing.T) bool {
	t.Helper()
	err := p.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		return false
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, p.output.String())
	}
	return true
}

// victim is a target that transfers are killed over.
type victim struct {
	task  *wire.Task
	state func() string // of the partition, from what is there
	tag   func(string)  // says whose rows come next
	whole func(string) string
}

// drill kills transfers at random moments, of which each would put other rows in
// the place of those that are there. After each the rows are the old ones or the new.
func drill(t *testing.T, v victim) {
	t.Helper()
	v.tag("first")
	v.task.Fence = 1
	begin := time.Now()
	if !start(t, v.task).ended(t) {
		t.Fatal("it was killed by somebody else")
	}
	whole := time.Since(begin)
	now := v.state()
	if now != v.whole("first") {
		t.Fatalf("the first transfer leaves %s; want %s", now, v.whole("first"))
	}
	killed, changed := 0, 0
	for i := range *kills {
		tag := fmt.Sprintf("t%d", i)
		v.tag(tag)
		v.task.Fence++
		p := start(t, v.task)
		after := time.Duration(rand.Int64N(int64(whole + whole/10)))
		kill := time.AfterFunc(after, func() { _ = p.Process.Kill() })
		if !p.ended(t) {
			killed++
		}
		kill.Stop()
		was := now
		if now = v.state(); now != was && now != v.whole(tag) {
			t.Fatalf("killed after %v of %v: there are %s; want %s or %s", after, whole, now, was, v.whole(tag))
		}
		if now != was {
			changed++
		}
	}
	t.Logf("%d of %d were killed before their end, %d had replaced the rows; one takes %v", killed, *kills, changed, whole)
	if killed == 0 {
		t.Errorf("none of %d was killed before its end", *kills)
	}
	v.tag("last")
	v.task.Fence++
	if !start(t, v.task).ended(t) {
		t.Fatal("it was killed by somebody else")
	}
	if now := v.state(); now != v.whole("last") {
		t.Errorf("after all of them there are %s; want %s", now, v.whole("last"))
	}
}

func manyRows(t *testing.T) (path string, tag func(string)) {
	path = filepath.Join(t.TempDir(), "rows.csv")
	return path, func(tag string) {
		write(t, filepath.Dir(path), "rows.csv", "id,tag\n"+numbered(drillRows, "%d,"+tag+"\n"))
	}
}

func TestR12_1_KilledOverSQLite(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	path, tag := manyRows(t)
	execute(t, s, `CREATE TABLE x (id integer, tag text, ds text)`, `INSERT INTO x VALUES (1, 'other', 'b')`)
	drill(t, victim{
		task: newRig(t, &wire.IntegrationSource{Files: path},
			&wire.IntegrationTarget{Source: "warehouse", Table: "x", Partition: ds("a")}).with(s).task,
		tag: tag,
		state: func() string {
			return strings.Join(rowsOf(t, s, `SELECT ds, tag, count(*), sum(id), count(DISTINCT id) FROM x GROUP BY 1, 2 ORDER BY 1, 2`), " ")
		},
		whole: func(tag string) string {
			return fmt.Sprintf("a|%s|%d|%d|%d b|other|1|1|1", tag, drillRows, drillRows*(drillRows-1)/2, drillRows)
		},
	})
}

func TestR12_1_KilledOverAFolder(t *testing.T) {
	path, tag := manyRows(t)
	folder := filepath.Join(t.TempDir(), "ds=a")
	drill(t, victim{
		task: newRig(t, &wire.IntegrationSource{Files: path}, &wire.IntegrationTarget{Folder: folder, Format: "jsonl"}, typed("id", "integer"), typed("tag", "text")).task,
		tag:  tag,
		state: func() string {
			rows := contents(t, folder)
			tags := map[string]int{}
			for _, r := range rows {
				_, tag, _ := strings.Cut(r, "|")
				tags[tag]++
			}
			slices.Sort(rows)
			return fmt.Sprintf("%v, %d ids", tags, len(slices.Compact(rows)))
		},
		whole: func(tag string) string { return fmt.Sprintf("map[%q:%d], %d ids", tag, drillRows, drillRows) },
	})
	same(t, "hidden", hiddenBeside(t, folder), ".ds=a.fence")
}

// pipe is a source whose rows come when they are written.
func pipe(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "rows.csv")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// feeder is the other end of a pipe, once somebody reads it.
func feeder(t *testing.T, path string) *os.File {
	t.Helper()
	for limit := time.Now().Add(time.Minute); ; {
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			return f
		}
		if !errors.Is(err, unix.ENXIO) || time.Now().After(limit) {
			t.Fatalf("nobody reads the source: %v", err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// overtaken lets a transfer begin, has a newer one go past it, and lets it go on.
// begun says when it has begun to write; nil: it shall not have.
func overtaken(t *testing.T, old *rig, begun func() bool, newer func()) {
	t.Helper()
	path := pipe(t)
	old.spec().From = &wire.IntegrationSource{Files: path}
	old.task.Fence = 5
	zombie := start(t, old.task)
	rows := feeder(t, path)
	feed := func(text string) {
		if _, err := rows.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	feed("id\n")
	if begun == nil { // its transaction would hold up the newer one
		newer()
	}
	feed(numbered(2*defaultBatch, "%d\n"))
	if begun != nil {
		for limit := time.Now().Add(time.Minute); !begun(); {
			if time.Now().After(limit) {
				t.Fatal("the transfer does not begin to write")
			}
			<-time.After(5 * time.Millisecond)
		}
		newer()
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	err := zombie.Wait()
	if err == nil || !strings.Contains(zombie.output.String(), "newer attempt") {
		t.Errorf("the older attempt ends with %v:\n%s", err, zombie.output.String())
	}
}

// TestR13_3_ALateWriterIsRefused, into a database and into a folder.
func TestR13_3_ALateWriterIsRefused(t *testing.T) {
	in := write(t, t.TempDir(), "a.csv", "id\n-1\n")
	t.Run("SQLite", func(t *testing.T) {
		s := sqliteIn(t, "warehouse")
		to := &wire.IntegrationTarget{Source: "warehouse", Table: "x", Partition: ds("a"), Create: true}
		execute(t, s, `CREATE TABLE x (id integer, ds text)`)
		old := newRig(t, nil, to, typed("id", "integer")).with(s)
		overtaken(t, old, nil, func() {
			r := newRig(t, &wire.IntegrationSource{Files: in}, to, typed("id", "integer")).with(s)
			r.task.Fence = 5
			r.must()
		})
		same(t, "rows", rowsOf(t, s, "SELECT * FROM x"), "-1|a")
	})
	t.Run("folder", func(t *testing.T) {
		folder := filepath.Join(t.TempDir(), "p")
		to := &wire.IntegrationTarget{Folder: folder, Format: "csv"}
		old := newRig(t, nil, to, typed("id", "integer"))
		begun := func() bool {
			_, err := os.Stat(hidden(folder, 5) + "/part-00000.csv")
			return err == nil
		}
		overtaken(t, old, begun, func() {
			r := newRig(t, &wire.IntegrationSource{Files: in}, to, typed("id", "integer"))
			r.task.Fence = 5
			r.must()
		})
		same(t, "rows", contents(t, folder), "-1")
		same(t, "hidden", hiddenBeside(t, folder), ".p.fence")
	})
}

// TestStopped: a stop undoes what was written.
func TestStopped(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	path := pipe(t)
	execute(t, s, `CREATE TABLE x (id integer)`, `INSERT INTO x VALUES (-1)`)
	r := newRig(t, &wire.IntegrationSource{Files: path}, &wire.IntegrationTarget{Source: "warehouse", Table: "x"}).with(s)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, r.task, &output.Output{Log: &r.log}) }()
	rows := feeder(t, path)
	defer rows.Close()
	for i := range 3 {
		if i == 2 {
			stop()
		}
		if _, err := rows.WriteString(map[bool]string{true: "id\n"}[i == 0] + numbered(3*defaultBatch, "%d\n")); err != nil && !(i == 2 && errors.Is(err, syscall.EPIPE)) { // it may have ended already
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	same(t, "rows", rowsOf(t, s, "SELECT * FROM x"), "-1")
}
