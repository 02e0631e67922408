// Command demo shows the main job on this machine; see scenario.
package main

import (
	"os"

	"backfleet/ops/demo/scenario"
)

func main() { os.Exit(scenario.Main(os.Args[1:])) }
