// The slim binary for worker hosts.
package main

import (
	"os"

	"backfleet/agent/command"
)

var version = "dev" // set by the linker

func main() { os.Exit(command.Main(version)) }
