// Command backfleet is every role in one binary: a coordinator, an agent, both
// at once to play with, and the client of all of them.
package main

import (
	"os"

	"backfleet/ops/backfleet/command"
)

func main() { os.Exit(command.Main(os.Args[1:])) }
