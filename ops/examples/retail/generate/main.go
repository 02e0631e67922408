// Command generate writes the files that the retail example begins with.
package main

import (
	"os"

	"backfleet/ops/examples/retail"
)

func main() { os.Exit(retail.GenerateMain(os.Args[1:], os.Stdout, os.Stderr)) }
