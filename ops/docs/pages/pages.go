// Package pages writes what is made from the commands of backfleet: the reference
// page and the man pages. `make docs` runs it.
package pages

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"

	"backfleet/api/cli"
	"backfleet/ops/backfleet/command"
)

// Main runs the command with its arguments, and gives its exit status.
func Main(args []string) int {
	f := flag.NewFlagSet("docs", flag.ContinueOnError)
	reference := f.String("reference", "", "write the reference page into this `file`")
	man := f.String("man", "", "write man pages into this `folder`")
	if f.Parse(args) != nil {
		return 2
	}
	if err := run(*reference, *man); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		return 1
	}
	return 0
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
