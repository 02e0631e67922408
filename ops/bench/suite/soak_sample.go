package suite

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/fault"
)

// sample is how everything stands at a moment.
type sample struct {
	At           time.Time  `json:"at"`
	Seconds      float64    `json:"seconds"`   // since the beginning
	Finished     int64      `json:"finished"`  // simulated instances, acknowledged
	Rate         float64    `json:"rate"`      // of these, a second since the sample before
	ListP50      float64    `json:"listP50"`   // milliseconds, since the sample before
	ListP99      float64    `json:"listP99"`   //
	DetailP50    float64    `json:"detailP50"` //
	DetailP99    float64    `json:"detailP99"` //
	Coordinators []standing `json:"coordinators"`
	Agent        standing   `json:"agent"`
	Cores        float64    `json:"cores"` // that coordinators and the real agent used since the sample before
	Load         float64    `json:"load"`
}

// standing is how one process stands; of an agent, its three together.
type standing struct {
	Name         string  `json:"name"`
	Up           bool    `json:"up"`
	Leads        bool    `json:"leads,omitempty"`
	Term         float64 `json:"term,omitempty"`
	Applied      float64 `json:"applied,omitempty"`
	RSS          float64 `json:"rssMB"`
	Heap         float64 `json:"heapMB,omitempty"` // in use, garbage included
	Live         float64 `json:"liveMB,omitempty"` // what the last collection found alive
	Goroutines   float64 `json:"goroutines"`
	Files        float64 `json:"files"`
	LogMB        float64 `json:"raftLogMB,omitempty"`
	SnapshotsMB  float64 `json:"snapshotsMB,omitempty"`
	Snapshots    int     `json:"snapshots,omitempty"`
	LogsMB       float64 `json:"logsMB"` // logs of attempts; of an agent, its whole folder
	TotalSeconds float64 `json:"processorSeconds"`
}

// latency is what one call of the API took, in milliseconds.
type latency struct {
	at time.Time
	ms float64
}

// probing asks the API four times a second, as people do.
func (s *soak) probing(ctx context.Context) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.mu.Lock()
		id := s.current
		s.mu.Unlock()
		if id == "" {
			continue
		}
		kind, began := "list", time.Now()
		var err error
		if i%2 == 0 {
			_, err = s.looker.Backfills(ctx, &v1.ListBackfillsParams{Limit: 50})
		} else {
			kind = "detail"
			_, err = s.looker.Backfill(ctx, id)
		}
		if err != nil && !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Timeout) && ctx.Err() == nil {
			return fmt.Errorf("a %s of the API: %w", kind, err)
		}
		s.mu.Lock()
		s.latencies[kind] = append(s.latencies[kind], latency{began, ms(time.Since(began))})
		s.mu.Unlock()
	}
}

// between gives what calls took in a time.
func (s *soak) between(kind string, from, to time.Time) (out []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.latencies[kind] {
		if !l.at.Before(from) && l.at.Before(to) {
			out = append(out, l.ms)
		}
	}
	return out
}

// sampling writes a sample now and then, and says how things are each minute.
func (s *soak) sampling(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.o.samples), 0o777); err != nil {
		return fault.Wrap(err, fault.Invalid, "--samples: its folder cannot be made")
	}
	f, err := os.Create(s.o.samples)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "--samples: the file cannot be written")
	}
	defer f.Close()
	encoder := json.NewEncoder(f)
	tick := time.NewTicker(s.o.every)
	defer tick.Stop()
	last, said := sample{At: s.began}, s.began
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := s.sample(ctx, last)
		if ctx.Err() != nil {
			return nil // it may be half of one
		}
		if err := encoder.Encode(now); err != nil {
			return err
		}
		s.mu.Lock()
		s.samples = append(s.samples, now)
		s.mu.Unlock()
		if last = now; now.At.Sub(said) >= time.Minute-s.o.every/2 {
			said = now.At
			s.say("soak: %s", now.text())
		}
	}
}

func (s *soak) sample(ctx context.Context, last sample) sample {
	now := sample{At: time.Now(), Finished: s.tally.acked.Load(), Load: loadAverage()}
	now.Seconds = now.At.Sub(s.began).Seconds()
	since := now.At.Sub(last.At).Seconds()
	now.Rate = float64(now.Finished-last.Finished) / since
	list, detail := s.between("list", last.At, now.At), s.between("detail", last.At, now.At)
	now.ListP50, now.ListP99 = percentile(list, 50), percentile(list, 99)
	now.DetailP50, now.DetailP99 = percentile(detail, 50), percentile(detail, 99)
	for i, p := range s.fleet.Coordinators {
		c := coordinatorStanding(ctx, p, s.fleet.Servers[i], filepath.Join(s.dir, p.Name))
		now.Coordinators = append(now.Coordinators, c)
		if i < len(last.Coordinators) {
			now.Cores += usedSince(last.Coordinators[i], c) / since
		}
	}
	now.Agent = s.agentStanding(ctx, s.fleet.Agents[0])
	now.Cores += usedSince(last.Agent, now.Agent) / since
	return now
}

// usedSince is the processor time between two looks at a process, which may
// have begun anew.
func usedSince(before, now standing) float64 {
	if now.TotalSeconds < before.TotalSeconds {
		return now.TotalSeconds
	}
	return now.TotalSeconds - before.TotalSeconds
}

func (s sample) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d finished, %.0f /s, list %.1f/%.1f ms, detail %.1f/%.1f ms, %.2f cores;", s.Finished, s.Rate, s.ListP50, s.ListP99, s.DetailP50, s.DetailP99, s.Cores)
	for _, c := range s.Coordinators {
		mark := ""
		switch {
		case !c.Up:
			mark = " (down)"
		case c.Leads:
			mark = " (leads)"
		}
		fmt.Fprintf(&b, " %s%s %.0f MB, live %.0f, %.0f goroutines, %.0f files, raft %.0f + %.0f, logs %.0f MB;", c.Name, mark, c.RSS, c.Live, c.Goroutines, c.Files, c.LogMB, c.SnapshotsMB, c.LogsMB)
	}
	fmt.Fprintf(&b, " agent %.0f MB, %.0f goroutines, %.0f files, %.1f MB on disk", s.Agent.RSS, s.Agent.Goroutines, s.Agent.Files, s.Agent.LogsMB)
	return b.String()
}

// coordinatorStanding asks a coordinator's own figures, and looks at its disk.
func coordinatorStanding(ctx context.Context, p *fleet.Process, server, dir string) standing {
	st := standing{Name: p.Name, TotalSeconds: processorSeconds(p.Pid())}
	st.LogMB = diskMB(filepath.Join(dir, "wal"))
	st.SnapshotsMB = diskMB(filepath.Join(dir, "snapshots"))
	st.LogsMB = diskMB(filepath.Join(dir, "logs"))
	if list, err := os.ReadDir(filepath.Join(dir, "snapshots")); err == nil {
		for _, e := range list {
			if e.IsDir() {
				st.Snapshots++
			}
		}
	}
	m, err := scrape(ctx, server+"/metrics")
	if err != nil {
		return st
	}
	const mb = 1 << 20
	st.Up, st.Leads, st.Term, st.Applied = true, m["backfleet_raft_leader"] == 1, m["backfleet_raft_term"], m["backfleet_raft_applied_index"]
	st.RSS, st.Heap, st.Live = m["process_resident_memory_bytes"]/mb, m["go_memstats_heap_alloc_bytes"]/mb, m["go_memstats_next_gc_bytes"]/2/mb
	st.Goroutines, st.Files = m["go_goroutines"], filesBeside(p.Pid(), filepath.Join(dir, "logs"))
	return st
}

// filesBeside counts the open files of a process but those of the store in a
// folder, whose tables come and go with their merging.
func filesBeside(pid int, store string) (n float64) {
	fds := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	list, _ := os.ReadDir(fds)
	for _, e := range list {
		if target, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && !strings.HasPrefix(target, store+"/") {
			n++
		}
	}
	return n
}

// agentStanding adds up the agent's session, keeper and guard.
func (s *soak) agentStanding(ctx context.Context, p *fleet.Process) standing {
	st := standing{Name: p.Name, LogsMB: diskMB(s.fleet.AgentDir(p.Name))}
	pids := []int{p.Pid()}
	if keeper, err := s.fleet.KeeperPid(ctx, p); err == nil {
		pids = append(pids, keeper)
		if guard, ok := guardOf(keeper); ok {
			pids = append(pids, guard)
		}
	}
	for _, pid := range pids {
		st.RSS += residentMB(pid)
		st.TotalSeconds += processorSeconds(pid)
		if list, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd"); err == nil {
			st.Files += float64(len(list))
		}
	}
	if text, err := get(ctx, "http://"+s.pprof+"/debug/pprof/goroutine?debug=1"); err == nil {
		if _, err := fmt.Sscanf(text, "goroutine profile: total %g", &st.Goroutines); err == nil {
			st.Up = true
		}
	}
	return st
}

// guardOf finds the guard among the keeper's children: it is this product's
// binary too, which no attempt is.
func guardOf(keeper int) (int, bool) {
	mine, err := os.Readlink("/proc/" + strconv.Itoa(keeper) + "/exe")
	if err != nil {
		return 0, false
	}
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(keeper) + "/task/*/children")
	for _, file := range tasks {
		text, _ := os.ReadFile(file)
		for _, child := range strings.Fields(string(text)) {
			if exe, err := os.Readlink("/proc/" + child + "/exe"); err == nil && exe == mine {
				pid, err := strconv.Atoi(child)
				return pid, err == nil
			}
		}
	}
	return 0, false
}

// get reads what an address shows.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return string(text), err
}

// scrape reads the figures of a process that have no labels.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	text, err := get(ctx, url)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || name == "#" || strings.Contains(name, "{") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = v
		}
	}
	return out, lines.Err()
}

// diskMB is what a folder takes on disk. Files that go meanwhile do not count.
func diskMB(dir string) float64 {
	var blocks int64
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone
		}
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				blocks += st.Blocks
			}
		}
		return nil
	})
	return float64(blocks) * 512 / (1 << 20)
}

// all says that every coordinator answered and has been up for a while.
func (s sample) all(kills []kill, settling time.Duration) bool {
	settled := !slices.ContainsFunc(kills, func(k kill) bool {
		return s.At.After(k.at) && s.At.Sub(k.at) < settling
	})
	return settled && !slices.ContainsFunc(s.Coordinators, func(c standing) bool { return !c.Up })
}
