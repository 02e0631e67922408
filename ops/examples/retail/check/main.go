// Command check compares what the nodes of the retail example have written with what the
// shop says that they must hold.
package main

import (
	"os"

	"backfleet/ops/examples/retail"
)

func main() { os.Exit(retail.CheckMain(os.Args[1:], os.Stdout, os.Stderr)) }
