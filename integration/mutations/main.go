// Command mutations goes through the table of guards (`make mutations`).
package main

import (
	"os"

	"backfleet/integration/mutations/guards"
)

func main() { os.Exit(guards.Run(os.Args[1:], os.Stdout)) }
