// Command notices writes the licences of what programs link; see licence.
package main

import (
	"os"

	"backfleet/ops/notices/licence"
)

func main() { os.Exit(licence.Main(os.Args[1:])) }
