package drill

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
)

// mark is one fault: when it began, what it was, and until when the cluster was
// whole again.
type mark struct {
	at, until time.Time
	what      string
}

// evidence is what a drill is judged by.
type evidence struct {
	client  *client.Client
	ids     []string // of all backfills
	marks   []mark
	dir     string // that attempts share; "": there is none
	silence bool   // no failover is expected: the gap is the longest silence
	keeps   bool   // no lease may be lost
}

// known is an instance as the cluster tells of it.
type known struct {
	v1.Instance
	attempts []v1.Attempt
	notes    []note // of its logs
}

// judge fills in what a report says of the evidence.
func (r *Report) judge(ctx context.Context, e evidence) error {
	instances, err := e.gather(ctx, r)
	if err != nil {
		return err
	}
	list, err := e.notes(instances)
	if err != nil {
		return err
	}
	told := follow(list, r.broke(&r.DoubleRuns, "double run"), r.broke(&r.WrongOrder, "wrong order"))
	r.Instances = len(instances)
	for _, i := range instances {
		r.compare(i, told[i.ID], e.keeps)
		r.data(i, e.dir)
	}
	r.gaps(instances, list, e)
	return e.receipts(ctx, r, instances, told)
}

// gather reads all instances, their attempts and the logs of those. A log that
// is not whole is read again for a while: coordinators that were away fetch
// what they missed.
func (e evidence) gather(ctx context.Context, r *Report) (all []*known, err error) {
	for _, id := range e.ids {
		for i, err := range e.client.AllInstances(ctx, id, &v1.ListInstancesParams{Limit: 1000}) {
			if err != nil {
				return nil, err
			}
			all = append(all, &known{Instance: i})
		}
	}
	var mu sync.Mutex
	gap := r.broke(&r.LogGaps, "log gap")
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, k := range all {
		g.Go(func() error {
			d, err := e.client.Instance(ctx, k.ID)
			if err != nil {
				return err
			}
			k.Instance, k.attempts = d.Instance, d.Attempts
			for _, a := range d.Attempts {
				wrong, err := e.log(ctx, k, a)
				if err != nil {
					return err
				}
				if wrong != "" {
					mu.Lock()
					gap("%s, attempt %d (%s): %s", k.ID, a.Number, a.State, wrong)
					mu.Unlock()
				}
			}
			return nil
		})
	}
	return all, g.Wait()
}

// log reads an attempt's log and says what is wrong with it. Of one that was
// killed any beginning is right.
func (e evidence) log(ctx context.Context, k *known, a v1.Attempt) (wrong string, err error) {
	if a.StartedAt == nil {
		return "", nil // it has none
	}
	began := time.Now()
	err = fleet.Until(ctx, "the log of "+k.ID+" is read", func(ctx context.Context) (bool, error) {
		l, err := e.client.LogText(ctx, k.ID, &v1.ReadLogParams{Attempt: a.Number})
		if err != nil {
			return time.Since(began) > 20*time.Second, err
		}
		var notes []note
		notes, wrong = checkLog(string(l.Text), a.State == v1.AttemptStateSucceeded)
		if wrong == "" {
			k.notes = append(k.notes, notes...)
		}
		return wrong == "" || time.Since(began) > 20*time.Second, nil
	})
	return wrong, err
}

// checkLog compares a log with what attempts print.
func checkLog(text string, whole bool) (notes []note, wrong string) {
	rest := strings.SplitAfter(text, "\n")
	if last := len(rest) - 1; rest[last] == "" {
		rest = rest[:last]
	}
	for i, line := range rest {
		line = strings.TrimSuffix(line, "\n")
		if i == 0 || i == lines+1 {
			n, err := parseNote(line)
			if err != nil || n.end != (i > 0) {
				return nil, fmt.Sprintf("line %d is %q", i+1, line)
			}
			notes = append(notes, n)
		} else if want := fmt.Sprintf("line %d of %d", i, lines); line != want && (whole || i+1 < len(rest) || !strings.HasPrefix(want, line)) {
			return nil, fmt.Sprintf("line %d is %q, not %q", i+1, line, want)
		}
	}
	if whole && len(notes) != 2 {
		return nil, fmt.Sprintf("it has %d lines, not %d", len(rest), lines+2)
	}
	return notes, ""
}

// notes are those of the shared file, or else of the logs, by their times.
func (e evidence) notes(instances []*known) (list []note, err error) {
	if e.dir != "" {
		f, err := os.Open(filepath.Join(e.dir, "notes"))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readNotes(f)
	}
	for _, k := range instances {
		list = append(list, k.notes...)
	}
	slices.SortStableFunc(list, func(a, b note) int { return a.at.Compare(b.at) })
	return list, nil
}

// compare holds what the cluster says of an instance against its own notes.
func (r *Report) compare(k *known, t *told, keeps bool) {
	lost, receipt := r.broke(&r.LostResults, "lost result"), r.broke(&r.WrongReceipts, "wrong receipt")
	if k.State != v1.StateSucceeded {
		lost("%s is %s at the end", k.ID, k.State)
	}
	if t == nil {
		receipt("%s is %s, and no attempt has noted its start", k.ID, k.State)
		return
	}
	r.Attempts += len(t.attempts)
	r.AttemptsRetried += len(t.attempts) - 1
	if t.running {
		receipt("%s is %s, and its newest attempt has not noted its end", k.ID, k.State)
	}
	won := 0
	for _, a := range k.attempts {
		n := t.attempts[a.Number]
		switch {
		case n != nil && n.fence != a.Fence:
			receipt("%s, attempt %d: its fence is %d, it was told %d", k.ID, a.Number, a.Fence, n.fence)
		case a.State == v1.AttemptStateSucceeded && (n == nil || n.end.IsZero()):
			receipt("%s, attempt %d: succeeded, and has not noted its end", k.ID, a.Number)
		case a.State == v1.AttemptStateFailed || a.State == v1.AttemptStateTimedOut:
			receipt("%s, attempt %d: %s: %s", k.ID, a.Number, a.State, a.Cause)
		case a.State == v1.AttemptStateLost:
			r.AttemptsLost++
			if n != nil && !n.end.IsZero() {
				r.RanAgain++
			}
			if keeps {
				r.broke(&r.LeasesLostWrongly, "lease lost")("%s, attempt %d: %s", k.ID, a.Number, a.Cause)
			}
		}
		if a.State == v1.AttemptStateSucceeded {
			won++
		}
	}
	if won != 1 {
		receipt("%s: %d of its attempts succeeded", k.ID, won)
	}
	for number := range t.attempts {
		if !slices.ContainsFunc(k.attempts, func(a v1.Attempt) bool { return a.Number == number }) {
			receipt("%s, attempt %d has run, and the cluster does not know it", k.ID, number)
		}
	}
}

// data compares the partition of an instance with what it is to be.
func (r *Report) data(k *known, dir string) {
	if dir == "" {
		return
	}
	dt := strings.ReplaceAll(k.Date, "-", "")
	got, err := os.ReadFile(filepath.Join(dir, "tables", k.Node+"."+dt))
	if want := named(k.Node).partition(dt); err != nil || !bytes.Equal(got, []byte(want)) {
		r.broke(&r.WrongData, "wrong data")("%s dt=%s is %q (%v), not %q", k.Node, dt, got, ignoreMissing(err), want)
	}
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return fs.ErrNotExist
	}
	return err
}

// receipts holds each backfill's receipt against its instances, and these
// against the notes (RULES R13.6).
func (e evidence) receipts(ctx context.Context, r *Report, instances []*known, told map[string]*told) error {
	ended := map[string]int64{} // by backfill: instances whose newest attempt ended
	for id, t := range told {
		if !t.running {
			ended[planOf(id)]++
		}
	}
	have := map[string]int64{}
	for _, k := range instances {
		have[planOf(k.ID)]++
	}
	for _, id := range e.ids {
		got, err := e.client.Receipt(ctx, id, &v1.GetReceiptParams{})
		if err != nil {
			return err
		}
		if t := got.Totals; t.Generated != int64(days*len(nodes)) || t.Generated != have[id] || t.Succeeded != ended[id] {
			r.broke(&r.WrongReceipts, "wrong receipt")("%s: %d generated, %d succeeded; %d instances are listed, %d of %d have noted their end",
				id, t.Generated, t.Succeeded, have[id], ended[id], days*len(nodes))
		}
	}
	return nil
}

// gaps measures, for each fault, when the first attempt began that was granted
// after it, and which leases lived on.
func (r *Report) gaps(instances []*known, list []note, e evidence) {
	granted := map[uint64]time.Time{}
	for _, k := range instances {
		for _, a := range k.attempts {
			if a.GrantedAt != nil {
				granted[a.Fence] = *a.GrantedAt
			}
		}
	}
	var starts []note
	ends := map[uint64]time.Time{}
	for _, n := range list {
		if n.end {
			ends[n.fence] = n.at
		} else {
			starts = append(starts, n)
		}
	}
	slices.SortStableFunc(starts, func(a, b note) int { return a.at.Compare(b.at) })
	seconds := map[string][]float64{}
	for _, m := range e.marks {
		first := m.until
		if e.silence {
			seconds[m.what] = append(seconds[m.what], longest(starts, m).Seconds())
		} else if i := slices.IndexFunc(starts, func(n note) bool { return n.at.After(m.at) && granted[n.fence].After(m.at) }); i >= 0 {
			first = starts[i].at
			seconds[m.what] = append(seconds[m.what], first.Sub(m.at).Seconds())
		}
		for _, n := range starts {
			if end := ends[n.fence]; n.at.Before(m.at) && end.After(first) {
				r.LeasesExtended++
			}
		}
	}
	for what, list := range seconds {
		r.Gaps = append(r.Gaps, gapOf(what, list))
	}
	slices.SortFunc(r.Gaps, func(a, b Gap) int { return cmp.Compare(a.After, b.After) })
}

// longest is the longest time without a start, of the time that a fault took.
func longest(starts []note, m mark) (most time.Duration) {
	last := m.at
	for _, n := range starts {
		if n.at.After(last) && !n.at.After(m.until) {
			most, last = max(most, n.at.Sub(last)), n.at
		}
	}
	return max(most, m.until.Sub(last))
}
