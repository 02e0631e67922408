// Command docs writes what is made from the commands of backfleet: the reference
// page and the man pages. `make docs` runs it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"

	"backfleet/api/cli"
	"backfleet/ops/backfleet/command"
)

func main() {
	reference := flag.String("reference", "", "write the reference page into this `file`")
	man := flag.String("man", "", "write man pages into this `folder`")
	flag.Parse()
	if err := run(*reference, *man); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(reference, man string) (err error) {
	root := command.Root()
	if reference != "" {
		err = os.WriteFile(reference, []byte(cli.Reference(root)), 0o644)
	}
	if man != "" && err == nil {
		if err = os.MkdirAll(man, 0o755); err == nil {
			root.DisableAutoGenTag = true // the date is SOURCE_DATE_EPOCH's
			err = doc.GenManTree(root, &doc.GenManHeader{Title: "BACKFLEET", Section: "1", Source: "Backfleet", Manual: "User commands"}, man)
		}
	}
	if reference == "" && man == "" {
		err = errors.New("nothing to write: expected -reference, -man or both")
	}
	return err
}
