package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

// TestLeaderKilledFiveTimes: SIGKILL of the leader at random moments of a
// backfill. Nothing is lost and nothing runs twice at once (RULES R13.1,
// R13.2, R13.4).
func TestLeaderKilledFiveTimes(t *testing.T) {
	const (
		kills     = 5
		days      = 240
		instances = 3 * days
	)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := start(t, fleet.Config{Coordinators: 3, Agents: 2, Slots: 3})
	s.Apply(
		rig.Node{ID: "raw", Code: write("raw", `echo ${day}`)},
		rig.Node{ID: "clean", Fields: []string{"upstreams: [raw]"}, Code: write("clean", `sed s/^/clean:/ "$OUT/raw/${dt}"`)},
		rig.Node{ID: "three", Fields: []string{"upstreams: [{node: clean, dates: -2..0}]"},
			Code: write("three", `for d in ${days}; do [ $d -lt 20120101 ] || cat "$OUT/clean/$d"; done`)},
	)
	id := s.submit(v1.BackfillRequest{Root: "raw", Dates: []string{"2012-01-01.." + day(days-1)}, Groups: 6, Gate: v1.GateNode})
	for kill := range kills {
		at := instances*(kill+1)/(kills+2) + random.IntN(instances/(kills+2))
		s.Until(fmt.Sprintf("%d attempts have begun", at), func() bool { return s.Noted("start ") >= at })
		leader, err := s.Leader(s.Ctx)
		s.Must(err)
		s.Must(leader.Kill())
		began := s.Noted("start ")
		s.Until("the fleet goes on", func() bool { return s.Noted("start ") > began+6 }) // more than was granted ahead
		t.Logf("%s killed after %d attempts", leader.Name, began)
		s.Must(leader.Start())
	}
	s.Succeeded(id, instances)
	got := s.Traced()
	t.Logf("%d attempts for %d instances, %d of them killed", got.Attempts, instances, got.Unended)
	for i := range days {
		expect(t, filepath.Join(s.Out, "raw", dt(i)), day(i)+"\n")
		expect(t, filepath.Join(s.Out, "clean", dt(i)), "clean:"+day(i)+"\n")
		window := ""
		for j := max(0, i-2); j <= i; j++ {
			window += "clean:" + day(j) + "\n"
		}
		expect(t, filepath.Join(s.Out, "three", dt(i)), window)
	}
}

// write is code that puts a command's output into the day's partition, whole
// or not at all.
func write(table, command string) string {
	return `mkdir -p "$OUT/` + table + `"
` + command + ` >"$OUT/` + table + `/.${dt}.$BACKFLEET_FENCE"
mv "$OUT/` + table + `/.${dt}.$BACKFLEET_FENCE" "$OUT/` + table + `/${dt}"
trace end
`
}

var firstDay = time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC)

func day(i int) string { return firstDay.AddDate(0, 0, i).Format("2006-01-02") }
func dt(i int) string  { return firstDay.AddDate(0, 0, i).Format("20060102") }

func expect(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
	}
}

// TestLeaderStopsInOrder: SIGTERM hands leadership over at once, and the
// process ends with status 0.
func TestLeaderStopsInOrder(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 3, Agents: 1})
	s.Apply(rig.Node{ID: "steady", Code: "trace end\n"})
	id := s.submit(v1.BackfillRequest{Root: "steady", Dates: []string{"2012-01-01..2012-12-31"}, Groups: 2})
	s.Until("it runs", func() bool { return s.Noted("start ") > 20 })
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	asked := time.Now()
	s.Must(leader.Signal(syscall.SIGTERM))
	before := s.Noted("start ")
	s.Until("the fleet goes on", func() bool { return s.Noted("start ") > before+4 })
	next, err := s.Leader(s.Ctx)
	s.Must(err)
	t.Logf("%s leads, and attempts began again, %s after SIGTERM to %s", next.Name, time.Since(asked).Round(time.Millisecond), leader.Name)
	if status, err := leader.Wait(s.Ctx); err != nil || status != 0 || next == leader {
		t.Errorf("%s ended with status %d, %v; %s leads", leader.Name, status, err, next.Name)
	}
	s.Must(leader.Start())
	s.Succeeded(id, 366)
	s.Traced()
}

// TestLogsFollowOverLeaderChange: `logs -f` shows every line once and in order
// though the coordinator that served it dies.
func TestLogsFollowOverLeaderChange(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 3, Agents: 1})
	s.Apply(rig.Node{ID: "chatty", Code: `i=0
while [ $i -lt 150 ]; do
	echo "line $i"
	i=$((i + 1))
	if [ $i -ge 120 ]; then until [ -e "$OUT/go" ]; do sleep 0.02; done; fi
	sleep 0.02
done
trace end
`})
	id := s.submit(v1.BackfillRequest{Root: "chatty", Dates: []string{"2012-01-01"}})
	s.Until("it runs", func() bool { return s.Noted("start ") == 1 })
	follow := s.follow("instance", "logs", id+".0", "--follow")
	s.Until("some lines are there", func() bool { return len(follow.all()) >= 10 })
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	s.Must(leader.Kill())
	s.Until("lines follow under a new leader", func() bool { return len(follow.all()) >= 120 })
	s.Open("go")
	if err := <-follow.done; err != nil {
		t.Error(err)
	}
	var want []string
	for i := range 150 {
		want = append(want, fmt.Sprintf("line %d", i))
	}
	if got := follow.all(); !slices.Equal(got, want) {
		t.Errorf("got %d lines: %q", len(got), got)
	}
	s.Succeeded(id, 1)
	out, err := s.CLI("instance", "logs", id+".0", "--tail", "2")
	if err != nil || out != "line 148\nline 149\n" {
		t.Errorf("the end of the log: %q, %v", out, err)
	}
	s.Must(leader.Start())
}

// TestFollowersServe: any coordinator takes a request; a read sees the writes
// before it; a key makes a request once only.
func TestFollowersServe(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 3, Agents: 1})
	s.Apply(rig.Node{ID: "plain", Code: "trace end\n"})
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	var followers []string
	for i, c := range s.Coordinators {
		if c != leader {
			followers = append(followers, s.Servers[i])
		}
	}
	one, err := s.Client(followers[0])
	s.Must(err)
	other, err := s.Client(followers[1])
	s.Must(err)
	request := func(i int) v1.BackfillRequest {
		return v1.BackfillRequest{Root: "plain", Mode: v1.ModeCurrent, Dates: []string{day(i)}}
	}
	for i := range 20 {
		key := fmt.Sprintf("key-%d", i)
		first, err := one.Submit(s.Ctx, request(i), key)
		s.Must(err)
		if _, err := one.Backfill(s.Ctx, first.ID); err != nil {
			t.Errorf("the follower that took %s does not show it: %v", first.ID, err)
		}
		again, err := other.Submit(s.Ctx, request(i), key)
		s.Must(err)
		if again.ID != first.ID {
			t.Errorf("key %s gave %s and then %s", key, first.ID, again.ID)
		}
	}
	if again, err := other.Submit(s.Ctx, request(99), "key-0"); err == nil {
		t.Errorf("a key was taken for another request, as %s", again.ID)
	}
	page, err := other.Backfills(s.Ctx, &v1.ListBackfillsParams{Limit: 100})
	s.Must(err)
	if len(page.Items) != 20 {
		t.Errorf("there are %d backfills, want 20", len(page.Items))
	}
	for _, b := range page.Items {
		s.Succeeded(b.ID, 1)
	}
}

// TestFoldersThatAreNotOurs: a coordinator says what is wrong with a data
// folder, ends with an error, and leaves it as it is.
func TestFoldersThatAreNotOurs(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1})
	s.Apply(rig.Node{ID: "plain", Code: "trace end\n"})
	data := filepath.Join(s.Dir, "c1")
	attempt := func(id, dir string, status int, want string) {
		t.Helper()
		p := fleet.NewProcess("try-"+id, t.TempDir(), binary, "coordinator", "--id", id, "--data", dir, "--bootstrap",
			"--http", "127.0.0.1:0", "--rpc", "127.0.0.1:0", "--raft", "127.0.0.1:0")
		s.Must(p.Start())
		ctx, cancel := context.WithTimeout(s.Ctx, 20*time.Second)
		defer cancel()
		got, err := p.Wait(ctx)
		if err != nil {
			s.Must(p.Kill())
		}
		said, _ := os.ReadFile(p.Log)
		if err != nil || got != status || !containsAll(string(said), want, dir) {
			t.Errorf("%s on %s: status %d, %v, want %d; it said %s", id, dir, got, err, status, said)
		}
	}
	attempt("c1", data, 4, "another process is using it")
	s.Must(s.Coordinators[0].Stop(s.Ctx))
	attempt("c9", data, 4, `belongs to coordinator "c1"`)
	foreign := t.TempDir()
	s.Must(os.WriteFile(filepath.Join(foreign, "PG_VERSION"), []byte("17\n"), 0o644))
	attempt("c1", foreign, 4, "PG_VERSION")
	if entries, err := os.ReadDir(foreign); err != nil || len(entries) != 1 {
		t.Errorf("the foreign folder was changed: %v, %v", entries, err)
	}
	identity := filepath.Join(data, "identity.json")
	s.Must(os.WriteFile(identity, []byte("{half of"), 0o644))
	attempt("c1", data, 8, "identity.json is broken")
}

// TestLogWithoutItsEnd: a log that lost acknowledged entries is not taken for
// a shorter one.
func TestLogWithoutItsEnd(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1})
	s.Apply(rig.Node{ID: "plain", Code: "trace end\n"})
	s.Must(s.Coordinators[0].Stop(s.Ctx))
	segments, err := filepath.Glob(filepath.Join(s.Dir, "c1", "wal", "*.wal"))
	s.Must(err)
	if len(segments) == 0 {
		t.Fatal("the log has no segments")
	}
	for _, path := range segments {
		s.Must(os.Truncate(path, 32))
	}
	s.Must(s.Coordinators[0].Start())
	status, err := s.Coordinators[0].Wait(s.Ctx)
	s.Must(err)
	said, _ := os.ReadFile(s.Coordinators[0].Log)
	if status == 0 || !containsAll(string(said), filepath.Join(s.Dir, "c1")) {
		t.Errorf("status %d; it said %s", status, said)
	}
}
