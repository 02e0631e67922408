// Command docs writes the reference page and the man pages; see pages.
package main

import (
	"os"

	"backfleet/ops/docs/pages"
)

func main() { os.Exit(pages.Main(os.Args[1:])) }
