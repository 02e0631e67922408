package history_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/integration/history"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
)

// Dates of a backfill, each of which is an instance of its one node.
const size = 4

// request is what one idempotency key stands for.
type request struct {
	key   string
	first time.Time // of its dates, which no other has
	ahead bool      // of short work
}

func (q request) body() v1.BackfillRequest {
	r := v1.BackfillRequest{
		Mode: v1.ModeCurrent, Root: "heavy", Name: "h" + q.key, Groups: 2, Gate: v1.GateNone,
		Dates: []v1.DateRangeText{q.first.Format(time.DateOnly) + ".." + q.first.AddDate(0, 0, size-1).Format(time.DateOnly)},
	}
	if q.ahead {
		r.Root = "light"
	}
	return r
}

// shared is what workers know of each other: what was asked for, and what was
// accepted of it.
type shared struct {
	mu       sync.Mutex
	asked    []request
	accepted []string // ids
}

// worker is one client. What it does it does one after the other.
type worker struct {
	id     int
	rnd    *rand.Rand
	rec    *history.Recorder
	all    *shared
	writes *client.Client   // asks any coordinator
	reads  []*client.Client // each asks one
	lives  func(server int) string
	number int
	seen   uint64 // index
	index  uint64 // of the last answer
	tries  int    // of the call that is under way
}

// newWorker makes a client that is soon out of patience, some sooner than
// others: that leaves outcomes unknown.
func newWorker(id int, seed uint64, servers []string, rec *history.Recorder, all *shared, lives func(int) string) (*worker, error) {
	w := &worker{id: id, rnd: rand.New(rand.NewPCG(seed, uint64(id))), rec: rec, all: all, lives: lives}
	var options client.Options
	options.OnAnswer = func(a *http.Response, _ time.Duration) {
		w.index, _ = strconv.ParseUint(a.Header.Get("Backfleet-Index"), 10, 64)
	}
	options.OnRetry = func(string, error) { w.tries++ }
	options.Backoff = 20 * time.Millisecond
	options.AttemptTimeout = time.Duration(100+w.rnd.IntN(1500)) * time.Millisecond
	options.Patience = time.Duration(100+w.rnd.IntN(3000)) * time.Millisecond
	options.Servers = slices.Clone(servers)
	w.rnd.Shuffle(len(options.Servers), func(i, j int) {
		options.Servers[i], options.Servers[j] = options.Servers[j], options.Servers[i]
	})
	var err error
	if w.writes, err = client.New(options); err != nil {
		return nil, err
	}
	options.Patience = 200 * time.Millisecond
	for _, server := range servers {
		options.Servers = []string{server}
		c, err := client.New(options)
		if err != nil {
			return nil, err
		}
		w.reads = append(w.reads, c)
	}
	return w, nil
}

// did notes how an operation ended.
func (w *worker) did(op history.Op, err error, done func(history.Op)) {
	op.Outcome, op.Again, w.tries = history.OK, w.tries > 0, 0
	switch code := fault.CodeOf(err); {
	case err == nil:
		w.seen = max(w.seen, op.Index)
	case code == fault.Conflict || code == fault.NotFound || code == fault.Unavailable || code == fault.Overloaded:
		op.Outcome, op.Code = history.Refused, string(code)
	default:
		op.Outcome, op.Code = history.Unknown, string(code)
	}
	done(op)
}

// work does something, of which nobody knows what may come of it.
func (w *worker) work(ctx context.Context) {
	w.all.mu.Lock()
	asked, ids := slices.Clone(w.all.asked), slices.Clone(w.all.accepted)
	w.all.mu.Unlock()
	switch k := w.rnd.IntN(20); {
	case len(ids) == 0 || k < 2:
		w.submit(ctx, w.fresh())
	case k == 2:
		w.submit(ctx, asked[w.rnd.IntN(len(asked))]) // once more, perhaps at the same time as the first
	case k < 11:
		w.operate(ctx, ids[w.rnd.IntN(len(ids))])
	default:
		w.read(ctx, ids[w.rnd.IntN(len(ids))], w.rnd.IntN(len(w.reads)))
	}
}

func (w *worker) key() string {
	w.number++
	return fmt.Sprintf("w%d-%d", w.id, w.number)
}

func (w *worker) fresh() request {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	q := request{w.key(), time.Date(2012, 1, 1+size*len(w.all.asked), 0, 0, 0, 0, time.UTC), w.rnd.IntN(3) == 0}
	w.all.asked = append(w.all.asked, q)
	return q
}

func (w *worker) submit(ctx context.Context, q request) {
	op := history.Op{Client: w.id, Kind: history.Submit, Name: "h" + q.key, Key: q.key, Size: size, Ahead: q.ahead}
	done := w.rec.Begin(op)
	got, err := w.writes.Submit(ctx, q.body(), q.key)
	if err == nil {
		op.Backfill, op.Index = got.ID, got.Index
		w.all.mu.Lock()
		if !slices.Contains(w.all.accepted, got.ID) {
			w.all.accepted = append(w.all.accepted, got.ID)
		}
		w.all.mu.Unlock()
	}
	w.did(op, err, done)
}

// kinds of operations, and what the API calls them.
var (
	whole = map[history.Kind]v1.BackfillOperation{
		history.Pause: v1.BackfillOperationPause, history.Resume: v1.BackfillOperationResume, history.Stop: v1.BackfillOperationStop,
		history.RerunFailed: v1.BackfillOperationRerunFailed, history.Freeze: v1.BackfillOperationFreeze, history.Unfreeze: v1.BackfillOperationUnfreeze,
	}
	single = map[history.Kind]v1.InstanceOperation{
		history.StopSome: v1.InstanceOperationStop, history.RerunSome: v1.InstanceOperationRerun, history.SetToSuccess: v1.InstanceOperationSetToSuccess,
		history.FreezeSome: v1.InstanceOperationFreeze, history.UnfreezeSome: v1.InstanceOperationUnfreeze,
	}
	drawn = []history.Kind{
		history.Pause, history.Pause, history.Resume, history.Resume, history.Stop, history.RerunFailed, history.Freeze, history.Unfreeze,
		history.StopSome, history.RerunSome, history.RerunSome, history.SetToSuccess, history.FreezeSome, history.UnfreezeSome,
	}
)

func (w *worker) operate(ctx context.Context, id string) {
	k := drawn[w.rnd.IntN(len(drawn))]
	if _, ok := whole[k]; ok {
		w.toPlan(ctx, id, k)
		return
	}
	op := history.Op{Client: w.id, Kind: k, Backfill: id, Key: w.key(), Instances: []int{w.rnd.IntN(size)}}
	if w.rnd.IntN(4) == 0 {
		op.Instances = []int{0, size - 1}
	}
	var named []v1.InstanceID
	for _, i := range op.Instances {
		named = append(named, id+"."+strconv.Itoa(i))
	}
	done := w.rec.Begin(op)
	got, err := w.writes.OperateInstances(ctx, v1.InstancesOperation{Instances: named, Operation: single[k], Why: op.Key})
	if err == nil {
		op.Index = got.Index
	}
	w.did(op, err, done)
}

func (w *worker) toPlan(ctx context.Context, id string, k history.Kind) {
	op := history.Op{Client: w.id, Kind: k, Backfill: id, Key: w.key()}
	done := w.rec.Begin(op)
	got, err := w.writes.Operate(ctx, v1.BackfillsOperation{Backfills: []v1.BackfillID{id}, Operation: whole[k], Why: op.Key})
	if err == nil {
		op.Index = got.Index
	}
	w.did(op, err, done)
}

// read asks one coordinator, at any level.
func (w *worker) read(ctx context.Context, id string, server int) {
	op := history.Op{
		Client: w.id, Backfill: id, Server: w.lives(server), Min: w.seen,
		Kind:  []history.Kind{history.ReadFlags, history.ReadStates, history.ReadTotals}[w.rnd.IntN(3)],
		Level: []history.Level{history.Linearizable, history.Session, history.Stale}[w.rnd.IntN(3)],
	}
	if op.Level != history.Session {
		op.Min = 0
	}
	done := w.rec.Begin(op)
	err := look(ctx, w.reads[server], &op)
	op.Index = w.index
	if op.Server != w.lives(server) { // it was started again meanwhile: which life answered is not known
		op.Server += " or later"
	}
	w.did(op, err, done)
}

// look asks what an operation wants to know.
func look(ctx context.Context, c *client.Client, op *history.Op) error {
	level := v1.Consistency(op.Level)
	switch op.Kind {
	case history.ReadFlags:
		page, err := c.Backfills(ctx, &v1.ListBackfillsParams{ID: []v1.BackfillID{op.Backfill}, MinIndex: op.Min, Consistency: level})
		switch {
		case err != nil:
			return err
		case len(page.Items) == 0:
			return fault.New(fault.NotFound, "it is not in the list")
		}
		op.Paused, op.Stopped = page.Items[0].Paused, page.Items[0].Stopped
	case history.ReadStates:
		page, err := c.Instances(ctx, op.Backfill, &v1.ListInstancesParams{Limit: 1000, MinIndex: op.Min, Consistency: level})
		if err != nil {
			return err
		}
		op.States, err = states(page.Items)
		return err
	default:
		r, err := c.Receipt(ctx, op.Backfill, &v1.GetReceiptParams{MinIndex: op.Min, Consistency: level})
		if err != nil {
			return err
		}
		op.Totals = totals(r.Totals)
	}
	return nil
}

func totals(t v1.ReceiptTotals) history.Totals {
	return history.Totals{
		Generated: t.Generated, Succeeded: t.Succeeded, Set: t.SetToSuccess, DryRun: t.DryRun, Failed: t.Failed,
		Stopped: t.Stopped, Frozen: t.Frozen, Running: t.Running, Waiting: t.Waiting,
	}
}

var letterOf = map[v1.State]byte{
	v1.StateNotRunning: 'w', v1.StateWaitingTime: 'w', v1.StateRunning: 'r', v1.StateSucceeded: 's', v1.StateFailed: 'f', v1.StateFrozen: 'z',
}

// states are a letter for each instance, in order of their numbers.
func states(list []v1.Instance) (string, error) {
	letters := make([]byte, len(list))
	for _, i := range list {
		_, number, err := plan.ParseInstance(i.ID)
		if err != nil || number >= uint64(len(letters)) || letterOf[i.State] == 0 {
			return "", fault.New(fault.Internal, "instance %s of %d is %q: %v", i.ID, len(list), i.State, err)
		}
		if letters[number] = letterOf[i.State]; i.SetToSuccess {
			letters[number] = 'm'
		}
	}
	if i := strings.IndexByte(string(letters), 0); i >= 0 {
		return "", fault.New(fault.Internal, "there is no instance %d of %d", i, len(list))
	}
	return string(letters), nil
}
