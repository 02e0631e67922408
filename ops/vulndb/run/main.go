// Command run makes ops/vulndb/copy anew: go run ./ops/vulndb/run FOLDER
package main

import (
	"os"

	"backfleet/ops/vulndb"
)

func main() { os.Exit(vulndb.Main(os.Args[1:], os.Stdout, os.Stderr)) }
