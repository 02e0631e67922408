package client_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"backfleet/api/client"
	"backfleet/api/internal/standin"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// Pages follow one another in a loop, which may be left and begun again, and
// ends with an error if there is one.
func TestListsAreLoops(t *testing.T) {
	backend := standin.New()
	c := connect(t, client.Options{}, coordinator(t, backend))
	ctx := within(t)
	var a v1.NodeApplication
	for i := range 7 {
		a.Nodes = append(a.Nodes, v1.Node{ID: fmt.Sprint("n", i), Code: "x"})
	}
	if _, err := c.ApplyNodes(ctx, a); err != nil {
		t.Fatal(err)
	}
	loop := c.AllNodes(ctx, &v1.ListNodesParams{Limit: 2})
	for range 2 {
		var ids string
		for n, err := range loop {
			if err != nil {
				t.Fatal(err)
			}
			if ids += n.ID; n.ID == "n4" {
				break
			}
		}
		if ids != "n0n1n2n3n4" {
			t.Errorf("the loop gave %s", ids)
		}
	}
	pages := 0
	backend.Set(func(b *standin.Backend) {
		b.Fail = func(call string) error {
			if call == "Nodes" {
				if pages++; pages > 2 {
					return fault.New(fault.Denied, "enough")
				}
			}
			return nil
		}
	})
	seen, last := 0, error(nil)
	for _, err := range loop {
		if seen++; err != nil {
			last = err
		}
	}
	if seen != 5 || !fault.Is(last, fault.Denied) {
		t.Errorf("%d items, the last with %v", seen, last)
	}
}

// Watching ends with the backfill, with its context, or when it is left.
func TestWatching(t *testing.T) {
	c := connect(t, client.Options{}, coordinator(t, standin.New()))
	var quiet []bool
	for b, err := range c.Watch(within(t), "b1") {
		if err != nil {
			t.Fatal(err)
		}
		quiet = append(quiet, b.Summary.Quiet)
	}
	if len(quiet) != 2 || quiet[0] || !quiet[1] {
		t.Errorf("looked at %v", quiet)
	}
	if _, err := c.Wait(within(t), "b99"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a backfill that does not exist: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	fresh := connect(t, client.Options{}, coordinator(t, standin.New()))
	if _, err := fresh.Wait(ctx, "b1"); err == nil {
		t.Error("it waited beyond its context")
	}
}
