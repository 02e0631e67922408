package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// The load: nodes of simulated work in a resource group of their own; a few
// for real processes, and a few that the schedule runs, both on the real agent.
const (
	soakGroup  = "simulated"
	soakNodes  = 1000
	soakChain  = 10 // length of the chains under the first node
	soakWindow = 2  // windows of dates in turn: cycles repeat, or their past would grow with every plan
	shellNodes = 4
	autoNodes  = 3
)

func (s *soak) stamps() string { return filepath.Join(s.dir, "stamps") }

func (s *soak) applyNodes(ctx context.Context) error {
	sim := graph(soakNodes, soakChain, func(int) string { return ":" })
	for i := range sim {
		sim[i].ResourceGroup = soakGroup
	}
	// Enough output to be a log, and a line for each attempt.
	code := fmt.Sprintf("seq 1 500\necho \"$BACKFLEET_NODE $BACKFLEET_INSTANCE\" >>%s\n", s.stamps())
	for i := range shellNodes {
		n := v1.Node{ID: fmt.Sprintf("shell_%d", i), Name: "soak shell", Owner: "bench", Type: "shell", Code: code}
		if i > 0 {
			n.Upstreams = []v1.Upstream{{Node: fmt.Sprintf("shell_%d", i-1)}}
		}
		sim = append(sim, n)
	}
	from := "00:00" // the day so far is made up for: it should not be long
	if h, m, _ := time.Now().UTC().Clock(); h > 0 && h < 23 {
		from = fmt.Sprintf("%02d:%02d", h, m)
	}
	for i := range autoNodes {
		sim = append(sim, v1.Node{
			ID: fmt.Sprintf("auto_%d", i), Name: "soak schedule", Owner: "bench", Type: "shell", Code: code,
			Schedule: &v1.Schedule{Kind: v1.ScheduleKindMinutely, EveryMinutes: 1, From: from, To: "23:59", Auto: true},
		})
	}
	for part := range slices.Chunk(sim, 1000) {
		if _, err := s.client.ApplyNodes(ctx, v1.NodeApplication{Nodes: part}); err != nil {
			return err
		}
	}
	return nil
}

// bigPlans submits plan after plan, the next when the last is nearly done, and
// waits for all of them.
func (s *soak) bigPlans(ctx, load context.Context) error {
	var settling sync.WaitGroup
	defer settling.Wait()
	dates := s.o.instances / soakNodes
	expected := time.Duration(float64(s.o.instances) / float64(s.o.rate) * float64(time.Second))
	for k := 0; load.Err() == nil; k++ {
		if k > 0 && time.Until(s.began.Add(s.o.length)) < expected/2 {
			<-load.Done()
			return nil
		}
		from := calendar.DateOf(2010, 1, 1) + calendar.Date(k%soakWindow*dates)
		sub, err := s.submit(ctx, v1.BackfillRequest{
			Mode: v1.ModeDescendants, Root: nodeID(0), Groups: 10, Gate: v1.GateNone, Overlap: v1.OverlapWait,
			Dates: []v1.DateRangeText{from.String() + ".." + (from + calendar.Date(dates-1)).String()},
		})
		if err != nil {
			return err
		}
		began := time.Now()
		s.mu.Lock()
		s.current = sub.ID
		s.mu.Unlock()
		near, err := s.await(ctx, sub.ID, func(b *v1.Backfill) bool { return b.Summary.Counts.Succeeded*10 >= b.Summary.Counts.Total*9 })
		if err != nil {
			return err
		}
		settling.Go(func() { s.settle(ctx, near, began) })
	}
	return nil
}

// submit repeats until it is answered: an election may come in between.
func (s *soak) submit(ctx context.Context, r v1.BackfillRequest) (*v1.Submission, error) {
	key := fmt.Sprintf("soak-%d", time.Now().UnixNano())
	for {
		sub, err := s.client.Submit(ctx, r, key)
		if err == nil || ctx.Err() != nil || !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Timeout) {
			return sub, err
		}
	}
}

// await polls a plan until it is as wanted, or has come to rest otherwise.
func (s *soak) await(ctx context.Context, id string, enough func(*v1.Backfill) bool) (*v1.Backfill, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		b, err := s.client.Backfill(ctx, id)
		switch {
		case err == nil && (enough(b) || b.Summary.State == v1.StateSucceeded):
			return b, nil
		case err == nil && b.Summary.State == v1.StateFailed:
			return b, fmt.Errorf("plan %s failed: %d instances", id, b.Summary.Counts.Failed)
		case err != nil && !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Timeout):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("plan %s: %w", id, ctx.Err())
		case <-tick.C:
		}
	}
}

// settle waits for the end of a plan and holds what the API says against what
// the agents know.
func (s *soak) settle(ctx context.Context, b *v1.Backfill, began time.Time) {
	id := b.Summary.ID
	b, err := s.await(ctx, id, func(*v1.Backfill) bool { return false })
	if err != nil {
		s.fail(err)
		return
	}
	v := planVerdict{ID: id, Instances: s.o.instances, Seconds: time.Since(began).Seconds(), Succeeded: int(b.Receipt.Succeeded)}
	n := planNumber(id)
	for range 100 { // an agent hears of the acknowledgement after the API knows of the result
		if v.Agents = s.ledger.audit(n); v.Agents.Succeeded >= s.o.instances {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	s.ledger.close(n)
	v.once = int(b.Receipt.Generated) == s.o.instances && v.Succeeded == s.o.instances && v.Agents.Once(s.o.instances)
	s.mu.Lock()
	s.plans = append(s.plans, v)
	s.mu.Unlock()
	s.say("soak: plan %s: %d instances in %.0f s, each once: %v (%+v)", id, v.Succeeded, v.Seconds, v.once, v.Agents)
}

func (s *soak) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

// realPlans submits small plans of real processes as they are done.
func (s *soak) realPlans(ctx, load context.Context) error {
	const every, most = 5 * time.Second, 10
	var settling sync.WaitGroup
	defer settling.Wait()
	places := make(chan struct{}, most)
	tick := time.NewTicker(every)
	defer tick.Stop()
	dates := max(1, s.o.shells*int(every.Seconds())/shellNodes)
	for k := 0; ; k++ {
		select {
		case <-load.Done():
			return nil
		case <-tick.C:
		}
		select {
		case places <- struct{}{}:
		default:
			continue // as many under way as there should be
		}
		from := calendar.DateOf(2000, 1, 1) + calendar.Date(k%20*dates)
		sub, err := s.submit(ctx, v1.BackfillRequest{
			Mode: v1.ModeDescendants, Root: "shell_0", Groups: 2, Gate: v1.GateDay, Overlap: v1.OverlapWait,
			Dates: []v1.DateRangeText{from.String() + ".." + (from + calendar.Date(dates-1)).String()},
		})
		if err != nil {
			return err
		}
		settling.Go(func() {
			defer func() { <-places }()
			if _, err := s.await(ctx, sub.ID, func(*v1.Backfill) bool { return false }); err != nil {
				s.fail(err)
				return
			}
			s.mu.Lock()
			s.shells[sub.ID] = dates * shellNodes
			s.mu.Unlock()
		})
	}
}

// realOnce counts real instances that did not stamp once: those of finished
// plans that are missing, and those of any plan that stamped twice.
func (s *soak) realOnce() (instances, scheduled, missing, twice int, err error) {
	text, err := os.ReadFile(s.stamps())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, 0, 0, 0, err
	}
	seen, of := map[string]int{}, map[string]int{}
	for line := range strings.Lines(string(text)) {
		node, instance, _ := strings.Cut(strings.TrimSpace(line), " ")
		plan, _, _ := strings.Cut(instance, ".")
		if seen[instance]++; seen[instance] > 1 {
			twice++
			continue
		}
		of[plan]++
		if strings.HasPrefix(node, "auto") {
			scheduled++
		}
	}
	for plan, n := range s.shells {
		instances += n
		missing += n - of[plan]
	}
	return instances, scheduled, missing, twice, nil
}
