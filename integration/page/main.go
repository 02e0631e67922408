// Command page runs the browser's tests beside a real cluster; see stage.
package main

import (
	"os"

	"backfleet/integration/page/stage"
)

func main() { os.Exit(stage.Main(os.Args[1:])) }
