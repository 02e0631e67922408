// Command check compares what the nodes of the flights example have written with
// what the raw data says.
package main

import (
	"os"

	"backfleet/ops/examples/flights"
)

func main() { os.Exit(flights.CheckMain(os.Args[1:], os.Stdout, os.Stderr)) }
