package suite

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// facts drives the replicated state in this process, one entry after another,
// as the log does.
type facts struct {
	st    *state.State
	index uint64
	nowMs int64
	rnd   *rand.Rand
}

const memoryAgent = "a1"

// memoryToday is the day on which the facts come to be.
var memoryToday = calendar.DateOf(2021, 8, 24)

func (f *facts) apply(c *wire.Command) (state.Result, error) {
	f.index++
	f.nowMs += 10
	c.NowMs, c.Behaviour = f.nowMs, state.First
	next, res := f.st.Apply(f.index, c)
	f.st = next
	if res.Err == nil && len(res.Refused) > 0 {
		res.Err = res.Refused[0].Err
	}
	return res, res.Err
}

// newFacts has the nodes, and an agent with slots for everything.
func newFacts(nodes []v1.Node) (*facts, error) {
	f := &facts{st: state.New(), nowMs: int64(memoryToday) * 86_400_000, rnd: rand.New(rand.NewPCG(1, 1))}
	specs, err := convert.ReadNodes(nodes)
	if err != nil {
		return nil, err
	}
	if _, err := f.apply(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: specs}}}); err != nil {
		return nil, err
	}
	agent := &wire.Agent{Id: memoryAgent, Incarnation: "1", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "default", Slots: 1 << 20}}}
	_, err = f.apply(turn(&wire.Turn{Agents: []*wire.Agent{agent}}))
	return f, err
}

func turn(t *wire.Turn) *wire.Command { return &wire.Command{Body: &wire.Command_Turn{Turn: t}} }

// submit accepts a backfill of everything, over days of which no other has any.
func (f *facts) submit(dates, skip int) (*state.Plan, error) {
	from := int32(calendar.DateOf(2010, 1, 1)) + int32(skip)
	res, err := f.apply(&wire.Command{Actor: "bench", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: &wire.Request{
			Mode: wire.Request_DESCENDANTS, Root: nodeID(0), Groups: 10, Dates: []*wire.DateRange{{From: from, To: from + int32(dates) - 1}},
		},
		ClusterZone: "UTC", Zones: []*wire.Zone{{Name: "UTC"}}, Today: int32(memoryToday),
	}}})
	if err != nil {
		return nil, err
	}
	p, _ := f.st.Plan(res.Answer.Plan)
	return p, nil
}

// work gives turns that each finish what the one before granted, and grant as
// many again; nil when the plan has finished. The facts do not mind that the
// order is not the scheduler's.
func (f *facts) work(p *state.Plan, batch uint64) func() *wire.Command {
	var from, next uint64
	return func() *wire.Command {
		t := &wire.Turn{}
		for i := from; i < next; i++ {
			start := f.nowMs + f.rnd.Int64N(10)
			t.Finishes = append(t.Finishes, &wire.Finish{
				Plan: p.ID, Instance: i, Fence: f.index, Outcome: wire.Outcome_SUCCEEDED, StartedMs: start, EndedMs: start + f.rnd.Int64N(10_000),
			})
		}
		from = next
		for ; next < min(p.Size(), from+batch); next++ {
			t.Grants = append(t.Grants, &wire.Grant{Plan: p.ID, Instance: next, Agent: memoryAgent, ResourceGroup: "default"})
		}
		if len(t.Finishes)+len(t.Grants) == 0 {
			return nil
		}
		return turn(t)
	}
}

// liveBytes is what the heap holds after a collection.
func liveBytes() float64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return float64(s.HeapAlloc)
}

// measureMemory fills the state in this process: what it weighs accepted and
// finished, how long its snapshot takes and what entries feel of it, and how
// long it takes to come back.
func measureMemory(ctx context.Context, r *run) error {
	f, err := newFacts(graph(r.o.nodes, 10, func(int) string { return ":" }))
	if err != nil {
		return err
	}
	size := float64(r.o.nodes * r.o.dates)
	whole, scale := size >= 10_000_000, "of 10 million"
	of := thousands(strconv.Itoa(r.o.nodes*r.o.dates)) + " instances"
	empty := liveBytes()
	p, err := f.submit(r.o.dates, 0)
	if err != nil {
		return err
	}
	r.add(Figure{
		Row: "memory", What: "at acceptance, " + of, Unit: "B/instance", Value: (liveBytes() - empty) / size,
		Target: atMost(4).onlyIf(whole, scale), Bound: &Bound{"a byte of status each", 1},
	})
	if err := f.finishAll(ctx, r, p); err != nil {
		return err
	}
	r.add(Figure{
		Row: "memory", What: "all finished once", Unit: "B/instance", Value: (liveBytes() - empty) / size,
		Target: atMost(32).onlyIf(whole, scale), Bound: &Bound{"a byte of status each", 1},
	})
	return r.measureSnapshot(ctx, f, whole, scale)
}

func (f *facts) finishAll(ctx context.Context, r *run, p *state.Plan) error {
	start := time.Now()
	for work := f.work(p, 1000); ctx.Err() == nil; {
		c := work()
		if c == nil {
			break
		}
		if _, err := f.apply(c); err != nil {
			return err
		}
	}
	p, _ = f.st.Plan(p.ID)
	if ctx.Err() == nil && !p.Succeeded() {
		return fault.New(fault.Internal, "the plan has not finished")
	}
	seconds := time.Since(start).Seconds()
	r.add(Figure{Row: "memory", What: "transitions applied, 2,000 in an entry", Unit: "/s", Value: 2 * float64(p.Size()) / seconds})
	return ctx.Err()
}

// measureSnapshot writes the state to disk beside entries that go on.
func (r *run) measureSnapshot(ctx context.Context, f *facts, whole bool, scale string) error {
	path := filepath.Join(r.dir, "snapshot")
	defer os.Remove(path)
	other, err := f.submit(max(1, 2_000_000/r.o.nodes), r.o.dates)
	if err != nil {
		return err
	}
	work := f.work(other, 100)
	alone, err := f.applyUntil(ctx, work, func(n int) bool { return n == 2000 })
	if err != nil {
		return err
	}
	var took, stalls, restores, writes, reads []float64
	for range r.o.rounds {
		frozen := f.st
		var done atomic.Bool
		var writeErr error
		go func() {
			defer done.Store(true)
			start := time.Now()
			writeErr = writeState(path, frozen)
			took = append(took, time.Since(start).Seconds())
		}()
		beside, err := f.applyUntil(ctx, work, func(int) bool { return done.Load() })
		if err != nil {
			return err
		}
		if writeErr != nil {
			return writeErr
		}
		stalls = append(stalls, percentile(beside, 100))
		r.say("memory: snapshot in %.1f s beside %d entries, p99 %.2f ms, longest %.1f ms", took[len(took)-1], len(beside), percentile(beside, 99), percentile(beside, 100))
		w, rd, back, err := readBack(path, frozen)
		if err != nil {
			return err
		}
		writes, reads, restores = append(writes, w), append(reads, rd), append(restores, back)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	r.add(Figure{
		Row: "memory", What: fmt.Sprintf("snapshot to disk, %.0f MB, entries going on", float64(info.Size())/1e6), Unit: "s", Rounds: took,
		Target: atMost(5).onlyIf(whole, scale), Bound: &Bound{"writing and syncing these bytes", median(writes)},
	})
	r.add(Figure{
		Row: "memory", What: "longest Apply of 200 transitions beside the snapshot", Unit: "ms", Rounds: stalls,
		Target: atMost(50).onlyIf(whole, scale), Bound: &Bound{"longest of 2,000 without a snapshot", percentile(alone, 100)},
	})
	r.add(Figure{
		Row: "memory", What: "restore", Unit: "s", Rounds: restores, Target: atMost(10).onlyIf(whole, scale),
		Bound: &Bound{"reading these bytes", median(reads)},
	})
	return nil
}

// applyUntil applies entries until stop says so and gives what each took in
// milliseconds. Making them is not counted.
func (f *facts) applyUntil(ctx context.Context, work func() *wire.Command, stop func(n int) bool) ([]float64, error) {
	var out []float64
	for !stop(len(out)) && ctx.Err() == nil {
		c := work()
		if c == nil {
			// Nothing is left to do; what is being waited for goes on alone.
			time.Sleep(time.Millisecond)
			continue
		}
		start := time.Now()
		if _, err := f.apply(c); err != nil {
			return nil, err
		}
		out = append(out, ms(time.Since(start)))
	}
	return out, ctx.Err()
}

func writeState(path string, st *state.State) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	if _, err := st.WriteTo(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Sync()
}

// readBack restores a snapshot, and measures in seconds what writing and
// reading its bare bytes takes.
func readBack(path string, want *state.State) (write, read, restore float64, err error) {
	start := time.Now()
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, 0, err
	}
	read = time.Since(start).Seconds()
	start = time.Now()
	copied, err := os.Create(path + ".copy")
	if err != nil {
		return 0, 0, 0, err
	}
	defer os.Remove(copied.Name())
	defer copied.Close()
	if _, err := copied.Write(data); err != nil {
		return 0, 0, 0, err
	}
	if err := copied.Sync(); err != nil {
		return 0, 0, 0, err
	}
	write = time.Since(start).Seconds()
	start = time.Now()
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, 0, err
	}
	defer file.Close()
	back, err := state.Read(bufio.NewReaderSize(file, 1<<20))
	if err != nil {
		return 0, 0, 0, err
	}
	restore = time.Since(start).Seconds()
	if back.Index() != want.Index() {
		return 0, 0, 0, fault.New(fault.Internal, "restored index %d, expected %d", back.Index(), want.Index())
	}
	return write, read, restore, nil
}
