// Command check compares the partitions that the weather example has written
// with what the data says they must hold.
package main

import (
	"os"

	"backfleet/ops/examples/weather"
)

func main() { os.Exit(weather.Main(os.Args[1:], os.Stdout, os.Stderr)) }
