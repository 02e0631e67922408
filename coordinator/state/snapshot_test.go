package state

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"weak"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

var writeGolden = flag.Bool("write-golden", false, "write the golden snapshot of the present format, if there is none")

// story is a state with something of every kind in it.
func story(t testing.TB) *machine {
	flaky := daily("c", "b")
	flaky.Retries, flaky.RetryDelayMs = 1, 1000
	m := ready(t, daily("a"), daily("b", "a"), flaky, daily("gone"))
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a2", 3)}}))
	m.must(&wire.Command{Body: &wire.Command_PutServer{PutServer: &wire.PutServer{Id: "c1", RaftAddress: "127.0.0.1:7003"}}})
	r := &wire.Request{
		Mode: wire.Request_DESCENDANTS, Root: "a", Nodes: []string{"c"}, Dates: days(40), Groups: 2, OnFailure: wire.Request_CONTINUE, MaxRunning: 4,
		Params: []*wire.Override{{Node: "c", Param: &wire.Assignment{Name: "x", Value: "1"}}},
	}
	c := submit(r)
	c.RequestId, c.RequestHash = "key", []byte("hash")
	m.must(c)
	m.must(submit(current("gone", 3)))
	newer := daily("b", "a")
	newer.Code = "echo newer"
	m.must(apply(newer))
	m.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: []string{"gone"}}}})
	p := m.plan(1)
	for i, dry := range []bool{false, true, false} {
		if got := p.Nodes[i].DryRun != wire.DryRun_DRY_RUN_NONE; got != dry {
			t.Fatalf("node %s: dry run is %v", p.Nodes[i].Spec.Id, got)
		}
	}
	m.must(turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: 1, Instances: []uint64{1, 4}}}, Opens: []*wire.OpenDate{{Plan: 1, Position: 3}, {Plan: 1, Position: 1}}}))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.run(1, 2, wire.Outcome_FAILED) // retrying
	m.run(1, 3, wire.Outcome_LOST)
	m.run(1, 6, wire.Outcome_STOPPED)
	m.run(1, 9, wire.Outcome_FAILED)
	m.must(rerun(1, 9))
	m.grant(1, 102)
	m.grant(2, 0)
	m.must(operate(2, wire.Operate_STOP))
	m.must(rerun(2, 1))
	return m
}

// The released forms: they must be readable for ever. Never write one again,
// add the next one beside them.
const (
	golden1 = "testdata/snapshot-1.zst" // before operations and the schedule
	golden2 = "testdata/snapshot-2.zst" // before work was granted ahead
	golden3 = "testdata/snapshot-3.zst"
)

// TestGoldenSnapshotOfTheFirstForm: what it held is held still, and goes on.
func TestGoldenSnapshotOfTheFirstForm(t *testing.T) {
	stored, err := os.ReadFile(golden1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(bytes.NewReader(stored))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if _, err := got.WriteTo(&again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(decompress(t, stored), decompress(t, again.Bytes())) {
		t.Error("the same facts are written otherwise today")
	}
	m := &machine{t: t, s: got, index: got.Index(), now: got.NowMs()}
	if marks := m.plan(1).Marks(9); len(marks) > 0 {
		t.Errorf("marks of before there were any: %v", marks)
	}
	if a := got.Attempts(m.plan(1), 9); len(a) != 1 || a[0].Outcome != wire.Outcome_FAILED || a[0].Cause != "exit status 1" {
		t.Errorf("an attempt of then is %+v", a)
	}
	m.goOn()
	if _, v, ok := m.s.LastOutcome("a", m.plan(1).Dates[3], 0); !ok || v != 1 {
		t.Errorf("what runs now is not kept: version %d, %v", v, ok)
	}
	if restored(t, m.s).Hash() != m.s.Hash() {
		t.Error("it cannot be written and read again")
	}
}

// goOn takes a story further.
func (m *machine) goOn() {
	m.t.Helper()
	m.run(1, 9, wire.Outcome_SUCCEEDED)
	m.run(1, 2, wire.Outcome_FAILED)
	m.status(1, 2, Failed)
	m.must(operate(1, wire.Operate_STOP))
	m.must(apply(daily("gone")))
	c := submit(current("a", 1))
	c.RequestId, c.RequestHash = "key", []byte("hash")
	if a := m.must(c); a.Plan != 1 {
		m.t.Errorf("the idempotency key was forgotten: %v", a)
	}
	m.now += requestAge
	m.must(submitKey("next day", "hash")) // the old key goes
}

// longStory is story with what came after: operations, edits, the schedule,
// settings and the past of a plan that is gone.
func longStory(t testing.TB) *machine {
	m := story(t)
	hourly := daily("h")
	hourly.Schedule = &wire.Schedule{Kind: wire.Schedule_HOURLY, From: 0, To: 3 * 3600, Every: 60}
	hourly.Auto, hourly.DependsOnSelf = true, true
	monthly := daily("m", "h")
	monthly.Schedule = &wire.Schedule{Kind: wire.Schedule_MONTHLY, Days: 1}
	monthly.Auto = true
	monthly.Upstreams = append(monthly.Upstreams, &wire.Upstream{Node: "a", Previous: true})
	paused := daily("p", "m")
	paused.Auto, paused.Mode = true, wire.Node_PAUSED
	m.must(apply(hourly, monthly))
	m.must(generate(today))
	m.must(apply(paused))
	m.must(generate(today)) // a block more
	m.must(generate(today - 1))
	m.must(submit(current("h", 2))) // plan 5
	m.run(5, 0, wire.Outcome_SUCCEEDED)
	m.run(5, 1, wire.Outcome_FAILED)
	m.must(op(wire.Operate_SET_TO_SUCCESS, of(5, 1)))
	m.must(expire(5))
	m.must(submit(current("h", 3))) // plan 6
	fence := m.grant(6, 0)
	m.must(turn(&wire.Turn{Yields: []*wire.Yield{{Plan: 6, Instance: 0, Fence: fence, ToPlan: 3, ToInstance: 0}}}))
	m.must(op(wire.Operate_FREEZE, of(6, 1, 2), of(3, 3)))
	m.must(turn(&wire.Turn{Missed: []*wire.Missed{{Plan: 6, Instances: []uint64{2}}}}))
	m.must(op(wire.Operate_FORCE_RUN, of(6, 3)))
	m.must(op(wire.Operate_SET_PRIORITY, of(6, 3, 4)))
	remove := op(wire.Operate_REMOVE_UPSTREAM, of(6, 4, 5))
	remove.GetOperate().Upstream = "h"
	m.must(remove)
	m.must(editPlan(&wire.EditPlan{Plan: 6, AddDates: dateSpan(today-9, today-8), AddNodes: []string{"m"}}))
	m.must(editPlan(&wire.EditPlan{Plan: 6, DropDates: dateSpan(today-9, today-9)}))
	m.must(group(&wire.PutResourceGroup{Name: "default", ReserveForAuto: 2, BackfillMaxShare: 50}))
	m.must(&wire.Command{Body: &wire.Command_PutRegion{PutRegion: &wire.PutRegion{Id: "east"}}})
	m.must(&wire.Command{Body: &wire.Command_PutWorkspace{PutWorkspace: &wire.PutWorkspace{Id: "w", Region: "east"}}})
	return m
}

func TestGoldenSnapshotOfTheSecondForm(t *testing.T) {
	holds(t, golden2, longStory(t).unheard().untagged(), (*machine).goOnLong)
}

func (m *machine) goOnLong() {
	m.t.Helper()
	m.goOn()
	l, _ := m.s.Lease(6, 0)
	m.finish(6, 0, l.Fence, wire.Outcome_STOPPED)
	m.status(6, 0, Again)
	m.must(op(wire.Operate_UNFREEZE, of(6), of(3, 3)))
	m.status(6, 1, Pending)
	m.status(6, 2, Failed)
	m.run(3, 0, wire.Outcome_SUCCEEDED)
}

// longerStory is longStory with work granted ahead: of plan 7, one instance was
// given back, one runs, one waits, two are wanted back and one of them frozen.
func longerStory(t testing.TB) *machine {
	m := longStory(t)
	m.must(submit(current("c", 9)))
	m.finish(7, 0, m.ahead(7, 0), wire.Outcome_RECALLED)
	fence := m.ahead(7, 1, 2, 3)
	m.must(turn(&wire.Turn{Started: []*wire.Started{{Plan: 7, Instance: 1, Fence: fence}}}))
	m.must(operate(7, wire.Operate_PAUSE))
	m.must(op(wire.Operate_FREEZE, of(7, 3)))
	m.must(operate(7, wire.Operate_RESUME))
	m.ahead(7, 4)
	return m
}

func TestGoldenSnapshotOfTheThirdForm(t *testing.T) {
	holds(t, golden3, longerStory(t).unheard().untagged(), func(m *machine) {
		m.goOnLong()
		for i, want := range []Status{Again, Succeeded, Again, Frozen, Again} {
			i := uint64(i)
			l, leased := m.s.Lease(7, i)
			if !leased {
				m.status(7, i, want)
				continue
			}
			o := wire.Outcome_RECALLED
			if l.Started {
				o = wire.Outcome_SUCCEEDED
			}
			m.finish(7, i, l.Fence, o)
			m.status(7, i, want)
		}
		m.run(7, 0, wire.Outcome_SUCCEEDED)
	})
}

// unheard takes out when agents were heard of: the forms before the fourth did not
// tell.
func (m *machine) unheard() *machine {
	agents, next := m.s.agents.Txn(), *m.s
	m.s.Agents(func(a *Agent) {
		own := *a
		own.HeardMs = 0
		agents.Insert([]byte(a.Id), &own)
	})
	next.agents = agents.Commit()
	m.s = &next
	return m
}

// untagged takes out when settings were changed: the forms before the sixth did
// not tell.
func (m *machine) untagged() *machine {
	next := *m.s
	next.tags = New().tags
	m.s = &next
	return m
}

// holds checks that a golden snapshot holds what a story tells today, and that
// it can be gone on with.
func holds(t *testing.T, file string, want *machine, goOn func(*machine)) {
	t.Helper()
	if *writeGolden {
		if f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); err == nil {
			if _, err := want.s.WriteTo(f); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash() != want.s.Hash() {
		t.Error("the golden snapshot does not hold what the same log gives today")
	}
	// Both go on alike: what is computed again after a restore is right too.
	twin := &machine{t: t, s: got, index: want.index, now: want.now}
	goOn(want)
	goOn(twin)
	if twin.s.Hash() != want.s.Hash() {
		t.Error("the restored state and its twin went apart")
	}
}

func TestReadRefusesDamage(t *testing.T) {
	var b bytes.Buffer
	if _, err := longerStory(t).s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	plain := decompress(t, b.Bytes())
	corrupt := func(what string, stream []byte) {
		t.Helper()
		if _, err := Read(bytes.NewReader(stream)); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("%s: got %v, expected an error of code corrupt", what, err)
		}
	}
	for n := range b.Len() {
		corrupt("cut off", b.Bytes()[:n])
	}
	for n := range len(plain) {
		broken := bytes.Clone(plain)
		broken[n] ^= 1 << (n % 8)
		corrupt("a bit turned over", compress(t, broken))
		corrupt("cut off inside", compress(t, plain[:n]))
	}
	corrupt("something behind the footer", compress(t, append(bytes.Clone(plain), 0)))
	corrupt("not compressed", plain)
	corrupt("empty", nil)
}

func TestReadRefusesWhatItDoesNotKnow(t *testing.T) {
	header := &wire.SnapshotHeader{Format: Format, NextPlan: 1}
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	odd := &wire.SnapshotHeader{Format: Format, NextPlan: 1}
	odd.ProtoReflect().SetUnknown(unknown)
	kind := &wire.SnapshotRecord{}
	kind.ProtoReflect().SetUnknown(unknown)
	wrap := func(h *wire.SnapshotHeader) *wire.SnapshotRecord {
		return &wire.SnapshotRecord{Body: &wire.SnapshotRecord_Header{Header: h}}
	}
	for _, c := range []struct {
		says    string
		records []*wire.SnapshotRecord
	}{
		{"", []*wire.SnapshotRecord{wrap(header)}},
		{"format 2", []*wire.SnapshotRecord{wrap(&wire.SnapshotHeader{Format: 2})}},
		{"rules of version 99", []*wire.SnapshotRecord{wrap(&wire.SnapshotHeader{Format: 1, Behaviour: 99})}},
		{"unknown field", []*wire.SnapshotRecord{wrap(odd)}},
		{"unknown kind", []*wire.SnapshotRecord{wrap(header), kind}},
		{"no header", nil},
		{"b7: its record", []*wire.SnapshotRecord{wrap(header), {Body: &wire.SnapshotRecord_Plan{Plan: &wire.SnapshotPlan{Record: &wire.PlanRecord{Id: 7}}}}}},
		{"lease of b1.0", []*wire.SnapshotRecord{wrap(header), {Body: &wire.SnapshotRecord_Lease{Lease: &wire.SnapshotLease{Plan: 1}}}}},
		{`agent "x"`, []*wire.SnapshotRecord{wrap(header), {Body: &wire.SnapshotRecord_Agent{Agent: &wire.SnapshotAgent{Agent: agent("x", 1)}}}}},
	} {
		var plain bytes.Buffer
		enc := newEncoder(&plain)
		for _, r := range c.records {
			enc.put(r)
		}
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Footer{Footer: &wire.SnapshotFooter{Records: enc.records, Hash: enc.sum.Sum(nil)}}})
		_, err := Read(bytes.NewReader(compress(t, plain.Bytes())))
		if c.says == "" {
			if err != nil {
				t.Errorf("a sound stream was refused: %v", err)
			}
			continue
		}
		if !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, expected an error that says %q", err, c.says)
		}
	}
}

func TestWriteToReportsTheWritersError(t *testing.T) {
	if n, err := story(t).s.WriteTo(&fullDisk{room: 100}); err == nil || n > 100 {
		t.Fatalf("%d bytes written, error %v", n, err)
	}
}

type fullDisk struct{ room int }

func (d *fullDisk) Write(b []byte) (int, error) {
	n := min(len(b), d.room)
	d.room -= n
	if n < len(b) {
		return n, os.ErrClosed
	}
	return n, nil
}

// TestReadersAndDroppedEdits reads a State while edits that began with it are
// made, kept and dropped; meant for -race.
func TestReadersAndDroppedEdits(t *testing.T) {
	m := story(t)
	old, want := m.s, m.s.Hash()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 50 {
				if old.Hash() != want {
					t.Error("the State changed while it was read")
					return
				}
			}
		})
	}
	for i := range uint64(50) {
		e := old.Edit(old.Index()+1, old.NowMs())
		e.Turn(&wire.Turn{
			Agents:   []*wire.Agent{agent("a9", 1)},
			Finishes: []*wire.Finish{{Plan: 1, Instance: 102, Fence: lease(t, old, 1, 102).Fence, Outcome: wire.Outcome_FAILED}},
			Grants:   []*wire.Grant{{Plan: 1, Instance: 12 + 3*(i%8), Agent: "a2", ResourceGroup: "default"}},
			Opens:    []*wire.OpenDate{{Plan: 1, Position: 2}},
		})
		if i%2 == 0 {
			e.Done()
		}
		m.must(rerun(1, 0))
		m.run(1, 0, wire.Outcome_SUCCEEDED)
	}
	wg.Wait()
	if old.Hash() != want {
		t.Error("the State was changed by later entries or dropped edits")
	}
}

// TestOldStatesAreLetGo: what an edit wrote lives on in later States, the State
// that it made must not.
func TestOldStatesAreLetGo(t *testing.T) {
	m := story(t)
	m.run(1, 3*5, wire.Outcome_SUCCEEDED)
	old := weak.Make(m.s)
	m.run(1, 3*30, wire.Outcome_SUCCEEDED)
	runtime.GC()
	if old.Value() != nil {
		t.Error("an old State is still held on to")
	}
	runtime.KeepAlive(m)
}

func lease(t *testing.T, s *State, plan, instance uint64) *Lease {
	t.Helper()
	l, ok := s.Lease(plan, instance)
	if !ok {
		t.Fatalf("no lease of %d.%d", plan, instance)
	}
	return l
}

func decompress(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out, err := z.DecodeAll(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var fastest, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))

func compress(t *testing.T, b []byte) []byte {
	t.Helper()
	return fastest.EncodeAll(b, nil)
}
