package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http/httptest"

	"backfleet/api/client"
	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
)

// example is a cluster that has a node, and of it a backfill that ends with how.
func example(how v1.State) (address string, end func()) {
	backend := standin.New()
	backend.Outcome = how
	backend.WriteLog(cri.Stdout, false, "loading 2012-01-02")
	backend.WriteLog(cri.Stderr, false, "no such file")
	backend.EndLog()
	s := httptest.NewServer(server.New(server.Options{Backend: backend, Logger: slog.New(slog.DiscardHandler)}).Handler())
	return s.URL, s.Close
}

// Nodes are applied, a backfill of one is submitted, and its end waited for.
func Example() {
	address, end := example(v1.StateSucceeded)
	defer end()
	ctx := context.Background()

	c, err := client.New(client.Options{Servers: []string{address}, Actor: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.ApplyNodes(ctx, v1.NodeApplication{Nodes: []v1.Node{{ID: "orders", Code: "load ${yyyymmdd}"}}}); err != nil {
		log.Fatal(err)
	}
	// The key makes it safe to run this program again.
	made, err := c.Submit(ctx, v1.BackfillRequest{Mode: "current", Root: "orders", Dates: []string{"2012-01-01..2012-01-07"}, Groups: 4}, "orders-january")
	if err != nil {
		log.Fatal(err)
	}
	b, err := c.Wait(ctx, made.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Summary.State, b.Summary.Counts.Succeeded)
	// Output: succeeded 7
}

// A log is read as it grows, without a gap or a repetition, until its end.
func ExampleClient_Lines() {
	address, end := example(v1.StateSucceeded)
	defer end()
	c, err := client.New(client.Options{Servers: []string{address}})
	if err != nil {
		log.Fatal(err)
	}
	for lines, err := range c.Lines(context.Background(), "b1.1", nil) {
		if err != nil {
			log.Fatal(err)
		}
		for _, line := range lines.Lines {
			fmt.Println(line.Stream, line.Text)
		}
	}
	// Output:
	// stdout loading 2012-01-02
	// stderr no such file
}

// Why an instance waits is told in a sentence.
func ExampleClient_Instance() {
	address, end := example(v1.StateSucceeded)
	defer end()
	c, err := client.New(client.Options{Servers: []string{address}})
	if err != nil {
		log.Fatal(err)
	}
	i, err := c.Instance(context.Background(), "b1.1")
	if err != nil {
		log.Fatal(err)
	}
	if i.Reason != nil {
		fmt.Println(i.Reason.Text)
	}
	// Output: waits for b1.0 (src of 2012-01-02)
}

// What failed is found, and run again.
func ExampleClient_Rerun() {
	address, end := example(v1.StateFailed)
	defer end()
	ctx := context.Background()
	c, err := client.New(client.Options{Servers: []string{address}, Actor: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	var failed []string
	for i, err := range c.AllInstances(ctx, "b1", &v1.ListInstancesParams{Limit: 1000}) {
		if err != nil {
			log.Fatal(err)
		}
		if i.State == v1.StateFailed {
			failed = append(failed, i.ID)
		}
	}
	if _, err := c.Rerun(ctx, "b1", v1.RerunRequest{Instances: failed, Why: "the file is there now"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(failed)
	// Output: [b1.1]
}

// Errors have a code, the field at fault, and of many mistakes each.
func Example_errors() {
	address, end := example(v1.StateSucceeded)
	defer end()
	ctx := context.Background()
	c, err := client.New(client.Options{Servers: []string{address}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Node(ctx, "nowhere")
	fmt.Println(fault.Is(err, fault.NotFound), err)

	_, err = c.Submit(ctx, v1.BackfillRequest{Mode: "current", Root: "orders", Dates: []string{"2012-02-30"}}, "")
	var refused *fault.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Field)
	}
	// Output:
	// true node "nowhere" does not exist
	// invalid dates[0]
}
