package command_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/agent/attempt"
	"backfleet/agent/worker"
	"backfleet/pkg/wire"
)

// install puts this test's binary at a path, in the way of a package manager:
// beside the old one, and then in its place. What is added to its end makes it
// another binary.
func install(t *testing.T, path, added string) (sum string) {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	both := io.MultiWriter(to, hash)
	if _, err = io.Copy(both, from); err == nil {
		_, err = io.WriteString(both, added)
	}
	if err == nil {
		err = to.Close()
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// statusOf asks an agent until it has its keeper.
func statusOf(t *testing.T, data string) *worker.Status {
	t.Helper()
	var s *worker.Status
	eventually(t, "a status with a keeper", func() bool {
		var err error
		s, err = worker.AskStatus(t.Context(), data)
		return err == nil && s.Keeper != nil
	})
	return s
}

// stand is an agent with work, whose binary is replaced.
type stand struct {
	t         *testing.T
	l         *leader
	data, bin string
	flag, ran string // files: attempts end when the first is there, and leave a line in the second
	keys      []attempt.Key
	results   map[attempt.Key]int
	wrong     []string
}

func (s *stand) hand(node *wire.Node, from, to uint64, ahead bool) {
	s.t.Helper()
	node.Type = "shell"
	a := &wire.Assign{Definitions: []*wire.Definition{{Id: from, Node: node, ResourceGroup: "default"}}}
	for i := from; i < to; i++ {
		s.keys = append(s.keys, key(i))
		a.Work = append(a.Work, &wire.Work{Ref: key(i).Ref(), Definition: from, DataTimestamp: 17733, ScheduledDate: 17734, Ahead: ahead})
	}
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if err := s.l.stream.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Assign{Assign: a}}); err != nil {
		s.t.Fatal(err)
	}
}

// hear takes in results until there is one of each of so many attempts.
func (s *stand) hear(attempts int) {
	s.t.Helper()
	for len(s.results) < attempts {
		r := s.l.result()
		if s.results[attempt.KeyOf(r.Ref)]++; r.Outcome != wire.Outcome_SUCCEEDED {
			s.wrong = append(s.wrong, fmt.Sprint(r))
		}
	}
}

const (
	lines = `echo "$BACKFLEET_INSTANCE" >> %s; i=0; while [ ! -e %s ]; do i=$((i+1)); echo "line $i"; sleep 0.01; done; echo "end $i"`
	short = `echo "$BACKFLEET_INSTANCE" >> %s; sleep 0.02; echo "a line"; echo "another"`
)

// TestTheKeeperIsReplacedUnderLoad replaces the binary on disk and restarts the
// agent, again and again, while attempts print, end, and wait for a slot. The
// keeper becomes the new program: the attempts are none the wiser.
func TestTheKeeperIsReplacedUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s := &stand{t: t, l: lead(t, nil, ""), data: filepath.Join(dir, "data"), bin: filepath.Join(dir, "backfleet-agent"),
		flag: filepath.Join(dir, "go"), ran: filepath.Join(dir, "ran"), results: map[attempt.Key]int{}}
	sum := install(t, s.bin, "first")
	p := agentAt(t, s.bin, 4, s.data, s.l.address)
	incarnation := s.l.hello().Agent.Incarnation
	first := statusOf(t, s.data)
	if first.Keeper.Binary != sum || first.Binary != sum {
		t.Fatalf("status %+v, want the binary %s", first, sum)
	}
	s.hand(&wire.Node{Id: "long", Code: fmt.Sprintf(lines, s.ran, s.flag)}, 1, 4, false)
	const each, rounds = 30, 3
	for round := range rounds {
		from := uint64(100 * (round + 1))
		s.hand(&wire.Node{Id: "short", Code: fmt.Sprintf(short, s.ran)}, from, from+each, true)
		s.hear(round*each + 3) // some of them have ended, most wait
		sum = install(t, s.bin, fmt.Sprint("round ", round))
		_ = p.Process.Signal(syscall.SIGKILL) // SIGTERM would give back what waits
		<-p.ended
		p = agentAt(t, s.bin, 4, s.data, s.l.address)
		if h := s.l.hello(); h.Agent.Incarnation != incarnation {
			t.Fatalf("round %d: the keeper has another incarnation: it was not the same one that went on", round)
		}
		now := statusOf(t, s.data)
		if now.Keeper.Binary != sum || now.Keeper.Outdated != "" || now.Keeper.Pid != first.Keeper.Pid {
			t.Fatalf("round %d: keeper %+v, want process %d with the binary %s", round, now.Keeper, first.Keeper.Pid, sum)
		}
		s.hear((round + 1) * each)
	}
	if err := os.WriteFile(s.flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.hear(rounds*each + 3)
	s.judge()
}

// judge looks for what was lost, doubled or torn.
func (s *stand) judge() {
	s.t.Helper()
	if len(s.wrong) > 0 {
		s.t.Errorf("%d attempts did not succeed, among them %s", len(s.wrong), s.wrong[0])
	}
	text, err := os.ReadFile(s.ran)
	if err != nil {
		s.t.Fatal(err)
	}
	ran := strings.Fields(string(text))
	slices.Sort(ran)
	if len(ran) != len(s.keys) || len(slices.Compact(ran)) != len(s.keys) {
		s.t.Errorf("%d beginnings of %d attempts: %v", len(strings.Fields(string(text))), len(s.keys), strings.Fields(string(text)))
	}
	for _, k := range s.keys {
		log := s.l.log(k, "the end", func(_ string, ended bool) bool { return ended })
		want := "a line\nanother\n"
		if k.Instance < 100 {
			s.t.Logf("%s: nothing was read of it for %s at most", k, silence(s.t, log))
			want = ""
			for i := range strings.Count(log, "line ") {
				want += fmt.Sprintf("line %d\n", i+1)
			}
			want += fmt.Sprintf("end %d\n", strings.Count(log, "line "))
		}
		if got := spoken(log); got != want {
			s.t.Errorf("log of %s:\n%s\nwant:\n%s", k, got, want)
		}
	}
}

// silence is the longest time between two lines of a log.
func silence(t *testing.T, log string) (longest time.Duration) {
	var last time.Time
	for line := range strings.Lines(log) {
		stamp, _, _ := strings.Cut(line, " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			t.Fatal(err)
		}
		if !last.IsZero() {
			longest = max(longest, at.Sub(last))
		}
		last = at
	}
	return longest
}

// spoken is what a process printed on stdout, of its log; lines that came in
// parts are put together.
func spoken(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		_, rest, _ := strings.Cut(line, " stdout ")
		tag, text, _ := strings.Cut(rest, " ")
		if tag == "P" {
			text = strings.TrimSuffix(text, "\n")
		}
		b.WriteString(text)
	}
	return b.String()
}

// TestAnIdleKeeperIsReplaced: one that has nothing to do ends, and another
// begins.
func TestAnIdleKeeperIsReplaced(t *testing.T) {
	dir := t.TempDir()
	data, bin, l := filepath.Join(dir, "data"), filepath.Join(dir, "backfleet-agent"), lead(t, nil, "")
	install(t, bin, "first")
	p := agentAt(t, bin, 4, data, l.address)
	incarnation := l.hello().Agent.Incarnation
	_ = p.Process.Signal(syscall.SIGKILL) // with SIGTERM the keeper would end as well
	<-p.ended
	sum := install(t, bin, "second")
	agentAt(t, bin, 4, data, l.address)
	if h := l.hello(); h.Agent.Incarnation == incarnation {
		t.Error("the old keeper is still there")
	}
	if s := statusOf(t, data); s.Keeper.Binary != sum || s.Keeper.Outdated != "" {
		t.Errorf("keeper %+v, want the binary %s", s.Keeper, sum)
	}
}
