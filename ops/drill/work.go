package drill

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

const (
	prefix = "drill_"
	lines  = 20 // that an attempt counts in its log
	days   = 3  // of a backfill
	atOnce = 3  // backfills that are not finished
)

// node is one of the backfill's. Its code lasts about pause.
type node struct {
	id    string
	pause string
	reads []string // upstreams of the same date
	day   string   // upstream of the same date and the one before
}

var nodes = []node{
	{id: prefix + "extract", pause: "0.05"},
	{id: prefix + "clean", pause: "0.3", reads: []string{prefix + "extract"}},
	{id: prefix + "daily", pause: "2", reads: []string{prefix + "extract", prefix + "clean"}},
	{id: prefix + "window", pause: "0.1", day: prefix + "clean"},
}

// prelude is what each attempt does beside its work: it notes its start and
// end, in its log and, where dir is a folder that attempts share, in one file,
// a small write each; and it counts lines.
const prelude = `dir=%s
note() {
	l="$1 $(date +%%s%%N) $BACKFLEET_INSTANCE $BACKFLEET_ATTEMPT $BACKFLEET_FENCE $BACKFLEET_NODE $dt"
	echo "$l"
	[ -z "$dir" ] || echo "$l" >>"$dir/notes"
}
count() { i=$1; while [ $i -le $2 ]; do echo "line $i of %d"; i=$((i+1)); done; }
note start
count 1 %d
sleep %s
count %d %d
`

// writes puts the partition in place unless an attempt with a newer fence has
// (RULES R13.3).
const writes = `p="$dir/tables/$BACKFLEET_NODE.$dt"
{ echo "$BACKFLEET_NODE $dt"; for u in %s; do cat "$dir/tables/$u.$dt"; done; } >"$p.$BACKFLEET_FENCE" || exit 1
(
	flock 9
	newest=0
	[ ! -e "$p.fence" ] || read -r newest <"$p.fence"
	if [ "$newest" -gt "$BACKFLEET_FENCE" ]; then rm "$p.$BACKFLEET_FENCE"; exit 1; fi
	echo "$BACKFLEET_FENCE" >"$p.fence"
	mv "$p.$BACKFLEET_FENCE" "$p"
) 9>"$p.lock" || exit 1
`

func (n node) code(dir string) string {
	code := fmt.Sprintf(prelude, "'"+strings.ReplaceAll(dir, "'", `'\''`)+"'", lines, lines/2, n.pause, lines/2+1, lines)
	if dir != "" {
		code += fmt.Sprintf(writes, strings.Join(n.reads, " "))
	}
	return code + "note end\n"
}

// partition is what a node is to have written for a date.
func (n node) partition(dt string) string {
	text := n.id + " " + dt + "\n"
	for _, u := range n.reads {
		text += named(u).partition(dt)
	}
	return text
}

func named(id string) node {
	for _, n := range nodes {
		if n.id == id {
			return n
		}
	}
	return node{}
}

func (n node) wire(dir, group string) v1.Node {
	out := v1.Node{
		ID: n.id, Name: n.id, Owner: "drill", Type: "shell", Code: n.code(dir), ResourceGroup: group, Description: "Of a drill (backfleet drill); it may be removed.",
		Params: []v1.Assignment{{Name: "dt", Value: "${yyyymmdd}"}},
	}
	for _, u := range n.reads {
		out.Upstreams = append(out.Upstreams, v1.Upstream{Node: u})
	}
	if n.day != "" {
		out.Upstreams = append(out.Upstreams, v1.Upstream{Node: n.day, Window: &v1.DateWindow{From: -1}})
	}
	return out
}

// load keeps backfills going while faults are injected: a client that keeps
// writing, each time with a key of its own, and one that keeps reading.
type load struct {
	client *client.Client
	random *rand.Rand // touched by submit alone
	name   string     // begins every key

	mu       sync.Mutex
	ids      []string // of what was submitted
	open     map[string]bool
	backward []string // reads that showed less than those before

	submits, reads    atomic.Int64
	succeeded         atomic.Int64 // instances, as they were read
	refused, unknown  atomic.Int64
	silence, lastRead atomic.Int64 // ns
}

// newLoad makes one whose calls are repeated as by any client, and counted.
func newLoad(o client.Options, name string, random *rand.Rand) (*load, error) {
	l := &load{name: name, random: random, open: map[string]bool{}}
	o.Patience, o.AttemptTimeout, o.Backoff, o.Tries = time.Minute, 3*time.Second, 20*time.Millisecond, 1000
	o.OnRetry = func(_ string, err error) {
		if fault.Is(err, fault.Unknown) {
			l.unknown.Add(1)
		} else {
			l.refused.Add(1)
		}
	}
	o.OnOverload = func(int, int, time.Duration, error) { l.refused.Add(1) }
	var err error
	l.client, err = client.New(o)
	return l, err
}

// submit asks for the next backfill. The second time with the same key must be
// the same backfill: now and then it asks twice.
func (l *load) submit(ctx context.Context) error {
	n := int(l.submits.Load())
	from := calendar.DateOf(2001, 1, 1) + calendar.Date(n*days)
	q := v1.BackfillRequest{
		Mode: v1.ModeDescendants, Root: nodes[0].id, Groups: days, Gate: v1.GateNone, Name: l.name + "-" + strconv.Itoa(n),
		Dates: []v1.DateRangeText{from.String() + ".." + (from + days - 1).String()},
	}
	key := l.name + "-" + strconv.Itoa(n)
	got, err := l.client.Submit(ctx, q, key)
	if err != nil {
		return err
	}
	if l.random.IntN(4) == 0 {
		again, err := l.client.Submit(ctx, q, key)
		if err != nil {
			return err
		}
		if again.ID != got.ID {
			l.wrong("key %s made %s and %s", key, got.ID, again.ID)
		}
	}
	l.submits.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids, l.open[got.ID] = append(l.ids, got.ID), true
	return nil
}

func (l *load) wrong(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backward = append(l.backward, fmt.Sprintf(format, args...))
}

// unfinished are the backfills in which something is still to happen.
func (l *load) unfinished() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.open {
		ids = append(ids, id)
	}
	return ids
}

// look reads each backfill that is not finished, and takes out those that are.
func (l *load) look(ctx context.Context, before map[string]int64) error {
	for _, id := range l.unfinished() {
		b, err := l.client.Backfill(ctx, id)
		if err != nil {
			return err
		}
		now := time.Now().UnixNano()
		if last := l.lastRead.Swap(now); last > 0 {
			l.silence.Store(max(l.silence.Load(), now-last))
		}
		l.reads.Add(1)
		if b.Receipt.Succeeded < before[id] {
			l.wrong("%s had %d instances that succeeded, then %d", id, before[id], b.Receipt.Succeeded)
		}
		l.succeeded.Add(b.Receipt.Succeeded - before[id])
		before[id] = b.Receipt.Succeeded
		if b.Summary.Quiet {
			l.mu.Lock()
			delete(l.open, id)
			l.mu.Unlock()
		}
	}
	return nil
}

// run keeps backfills going until stop is closed, and then to their ends.
func (l *load) run(ctx context.Context, stop <-chan struct{}) error {
	before := map[string]int64{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		stopping := false
		select {
		case <-stop:
			stopping = true
		default:
		}
		if err := l.look(ctx, before); err != nil {
			return fmt.Errorf("a client that reads: %w", err)
		}
		left := len(l.unfinished())
		if stopping && left == 0 {
			return nil
		}
		if !stopping && left < atOnce {
			if err := l.submit(ctx); err != nil {
				return fmt.Errorf("a client that writes: %w", err)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// apply makes the nodes known. dir is the folder that attempts share, "": none.
func (l *load) apply(ctx context.Context, dir, group string) error {
	var a v1.NodeApplication
	for _, n := range nodes {
		a.Nodes = append(a.Nodes, n.wire(dir, cmp.Or(group, "default")))
	}
	_, err := l.client.ApplyNodes(ctx, a)
	return err
}
