package presence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"backfleet/pkg/fault"
)

// Ask asks the coordinator at an address what it knows: the members of its
// cluster, itself and agents included, with the leader marked. An error means
// that the address is not alive now.
type Ask func(ctx context.Context, address string) ([]Member, error)

// Static is the built-in directory: it starts from configured addresses, asks
// them, and follows what they answer, so that one address that still lives is
// enough to find the others.
type Static struct {
	ask   Ask
	seeds []string
	every time.Duration

	mu    sync.Mutex
	extra []string // coordinators learned from answers
}

// staticTimeout bounds one question; a dead address must not hold up the rest.
const staticTimeout = 2 * time.Second

// NewStatic makes a directory of the coordinators at seeds. Watch asks every
// period (0: 2 s).
func NewStatic(seeds []string, every time.Duration, ask Ask) (*Static, error) {
	seeds = slices.DeleteFunc(slices.Clone(seeds), func(s string) bool { return s == "" })
	if len(seeds) == 0 {
		return nil, fault.Field("coordinators", "no address given; expected at least one host:port")
	}
	if every == 0 {
		every = 2 * time.Second
	}
	return &Static{ask: ask, seeds: seeds, every: every}, nil
}

// List asks all known coordinators side by side and joins their answers. A
// coordinator that does not answer is left out; when none answers, the error
// is fault.Unavailable and names each with its reason.
func (s *Static) List(ctx context.Context, kind Kind) ([]Member, error) {
	s.mu.Lock()
	addresses := slices.Concat(s.seeds, s.extra)
	s.mu.Unlock()
	answers, failures := s.askAll(ctx, addresses)
	if len(answers) == 0 {
		return nil, fault.Wrap(errors.Join(failures...), fault.Unavailable, "no coordinator answers at %s", strings.Join(addresses, ", "))
	}
	byKey := map[[2]string]Member{}
	var coordinators []string
	for _, answer := range answers {
		for _, m := range answer {
			key := [2]string{string(m.Kind), m.ID}
			// Two may both be called leader around an election: the caller is
			// told and asks again; a redirect costs it one round trip.
			m.Leader = m.Leader || byKey[key].Leader
			byKey[key] = m
			if m.Kind == Coordinator && m.Address != "" && !slices.Contains(s.seeds, m.Address) && !slices.Contains(coordinators, m.Address) {
				coordinators = append(coordinators, m.Address)
			}
		}
	}
	s.mu.Lock()
	s.extra = coordinators
	s.mu.Unlock()
	var out []Member
	for _, m := range byKey {
		if m.Kind == kind {
			out = append(out, m)
		}
	}
	Sort(out)
	return out, nil
}

func (s *Static) askAll(ctx context.Context, addresses []string) (answers [][]Member, failures []error) {
	ctx, cancel := context.WithTimeout(ctx, staticTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, address := range addresses {
		wg.Go(func() {
			members, err := s.ask(ctx, address)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", address, err))
				return
			}
			answers = append(answers, members)
		})
	}
	wg.Wait()
	return answers, failures
}

// Watch asks again and again. While no coordinator answers nothing is sent:
// those seen last may well live.
func (s *Static) Watch(ctx context.Context, kind Kind) (<-chan []Member, error) {
	ch := make(chan []Member, 1)
	go func() {
		defer close(ch)
		tick := time.NewTicker(s.every)
		defer tick.Stop()
		var last []Member
		for sent := false; ; {
			list, err := s.List(ctx, kind)
			if err == nil && (!sent || !slices.EqualFunc(list, last, Member.Equal)) {
				Offer(ch, list)
				last, sent = list, true
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch, nil
}
