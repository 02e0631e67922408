package suite

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/plan"
)

// compare holds what each coordinator says against what the agents know: all
// counters, and instance by instance some pages.
func (v *recovery) compare(ctx context.Context) error {
	known := v.ledger.audit(v.number)
	if known.Twice+known.AtOnce > 0 {
		return fmt.Errorf("%d instances succeeded twice, %d ran twice at once", known.Twice, known.AtOnce)
	}
	size := v.size()
	const pages, each = 30, 1000
	checked := 0
	for i, c := range v.Coordinators {
		one, err := v.Client(v.Servers[i])
		if err != nil {
			return err
		}
		b, err := one.Backfill(ctx, v.id)
		if err != nil {
			return err
		}
		counts := b.Summary.Counts
		if int(counts.Total) != size || int(counts.Succeeded) != known.Succeeded || counts.Failed+counts.Running+counts.Frozen > 0 {
			return fmt.Errorf("%s counts %+v, the agents know of %d successes and nothing else of %d instances", c.Name, counts, known.Succeeded, size)
		}
		for n := i; n < pages; n += len(v.Coordinators) {
			p := &v1.ListInstancesParams{Limit: each, Cursor: "instance:" + strconv.Itoa(n*(size/pages))}
			page, err := one.Instances(ctx, v.id, p)
			if err != nil {
				return err
			}
			if err := v.agrees(page.Items); err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
			checked += len(page.Items)
		}
	}
	v.say("recover: %s instances, of %d attempts; counters equal on three, %s instances compared one by one",
		thousands(strconv.Itoa(known.Succeeded)), known.Attempts, thousands(strconv.Itoa(checked)))
	v.add(Figure{
		Row: "recover", What: fmt.Sprintf("successes that agents know and the three coordinators count, %s looked up one by one", thousands(strconv.Itoa(checked))),
		Unit: "instances", Value: float64(known.Succeeded), Bound: &Bound{"attempts that ran", float64(known.Attempts)},
	})
	v.add(Figure{Row: "recover", What: "attempts run again, each instance succeeded once", Unit: "attempts", Value: float64(known.Again)})
	return v.reportMemory(ctx, float64(size))
}

// agrees looks each instance of a page up in what the agents know.
func (v *recovery) agrees(items []v1.Instance) error {
	a := v.ledger.account(v.number)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range items {
		_, n, err := plan.ParseInstance(items[i].ID)
		if err != nil {
			return err
		}
		acknowledged := n/64 < uint64(len(a.succeeded)) && a.succeeded[n/64]>>(n%64)&1 == 1
		if said := items[i].State == v1.StateSucceeded; said != acknowledged {
			return fmt.Errorf("%s is %q; that it succeeded was acknowledged: %v", items[i].ID, items[i].State, acknowledged)
		}
	}
	return nil
}

func (v *recovery) reportMemory(ctx context.Context, size float64) error {
	lead, err := v.Leader(ctx)
	if err != nil {
		return err
	}
	highest := 0.0
	for _, c := range v.Coordinators {
		if c != lead {
			highest = max(highest, residentMB(c.Pid()))
		}
	}
	status := &Bound{"a byte of status each", size / (1 << 20)}
	v.add(Figure{Row: "recover", What: "leader: resident memory after it all", Unit: "MB", Value: residentMB(lead.Pid()), Bound: status})
	v.add(Figure{Row: "recover", What: "follower: resident memory after it all, the larger", Unit: "MB", Value: highest, Bound: status})
	return nil
}

// snapshotBound copies a coordinator's newest snapshot and reads the copy: what
// bringing it over, or back, costs bare.
func (v *recovery) snapshotBound(p *fleet.Process) (*Bound, error) {
	newest, at := "", time.Time{}
	err := filepath.WalkDir(filepath.Join(v.dir(), p.Name), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "state.bin" {
			return nil //nolint:nilerr // a snapshot that is replaced meanwhile is not the one looked for
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(at) {
			newest, at = path, info.ModTime()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(newest)
	if err != nil {
		return nil, fmt.Errorf("%s has no snapshot: %w", p.Name, err)
	}
	start := time.Now()
	f, err := os.Create(filepath.Join(v.dir(), "copy"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	back, err := os.ReadFile(f.Name())
	if err == nil && !bytes.Equal(back, data) {
		err = fmt.Errorf("the disk does not give back what was written")
	}
	return &Bound{fmt.Sprintf("%.0f MB, its snapshot, written, synced and read", float64(len(data))/1e6), time.Since(start).Seconds()}, err
}

func (v *recovery) dir() string { return v.cluster.dir }

// pace is how the work went, by what was acknowledged.
type pace struct {
	t *tally

	mu      sync.Mutex
	samples []paceSample
}

type paceSample struct {
	at    time.Time
	acked int64
}

// watchPace looks ten times a second until ctx ends.
func watchPace(ctx context.Context, t *tally) *pace {
	p := &pace{t: t}
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			p.mu.Lock()
			p.samples = append(p.samples, paceSample{time.Now(), t.acked.Load()})
			p.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return p
}

func (p *pace) acked() float64 { return float64(p.t.acked.Load()) }

// rate is what was acknowledged a second between two moments.
func (p *pace) rate(from, to time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first, last *paceSample
	for i := range p.samples {
		switch s := &p.samples[i]; {
		case s.at.Before(from) || s.at.After(to):
		case first == nil:
			first = s
		default:
			last = s
		}
	}
	if last == nil {
		return 0
	}
	return float64(last.acked-first.acked) / last.at.Sub(first.at).Seconds()
}

// slowest is the least rate of any second between two moments.
func (p *pace) slowest(from, to time.Time) float64 {
	least := p.rate(from, from.Add(time.Second))
	for at := from; !at.Add(time.Second).After(to); at = at.Add(100 * time.Millisecond) {
		least = min(least, p.rate(at, at.Add(time.Second)))
	}
	return least
}
