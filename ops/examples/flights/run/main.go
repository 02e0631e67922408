// Command run is the flights example from end to end, on a fleet of its own.
package main

import (
	"os"

	"backfleet/ops/examples/flights"
)

func main() { os.Exit(flights.RunMain(os.Args[1:])) }
