// Command bench prints the figures that the project promises, each beside the
// bound measured in the same run. See DESIGN.md.
package main

import (
	"os"

	"backfleet/ops/bench/suite"
)

func main() { os.Exit(suite.Main(os.Args[1:])) }
