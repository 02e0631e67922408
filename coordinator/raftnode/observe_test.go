package raftnode

import (
	"context"
	"testing"
)

// Every member tells who leads, first as it stands and then each change.
func TestWatchLeader(t *testing.T) {
	all, leader := cluster(t, nil)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	seen := map[string]chan string{}
	for _, m := range all {
		heard := make(chan string, 64)
		seen[m.ID()] = heard
		go m.WatchLeader(ctx, func(id string) { heard <- id })
	}
	hears := func(member, want string) {
		t.Helper()
		for {
			select {
			case id := <-seen[member]:
				if id == want {
					return
				}
			case <-ctx.Done():
				t.Fatalf("%s never heard that %s leads", member, want)
			}
		}
	}
	for member := range seen {
		hears(member, leader.ID())
	}
	next := others(all, leader)[0]
	if err := leader.TransferLeadership(ctx, next.ID()); err != nil {
		t.Fatal(err)
	}
	for member := range seen {
		hears(member, next.ID())
	}
}
