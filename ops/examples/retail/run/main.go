// Command run is the retail example from end to end, on a fleet of its own.
package main

import (
	"os"

	"backfleet/ops/examples/retail"
)

func main() { os.Exit(retail.RunMain(os.Args[1:])) }
