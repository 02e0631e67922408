// Command backfleet-task runs what is no script, for the agent beside it.
package main

import (
	"os"

	"backfleet/agent/task"
)

func main() { os.Exit(task.Main(os.Args[1:])) }
