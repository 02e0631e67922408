package weather

import (
	"flag"
	"fmt"
	"io"
	"os"

	"backfleet/ops/examples/verdict"
)

// Main is the command `check`: 0 when everything is right, 1 when something is
// wrong, 2 when it could not be checked.
func Main(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	warehouse := flags.String("warehouse", "", "the `folder` that the nodes wrote to")
	traceFile := flags.String("trace", "", "also check the `file` in which the attempts noted their start and end")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *warehouse == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "check: expected --warehouse FOLDER, and --trace FILE if liked")
		return 2
	}
	reports, err := Check(os.DirFS(*warehouse))
	if err != nil {
		fmt.Fprintln(stderr, "check:", err)
		return 2
	}
	right := verdict.Print(stdout, reports)
	if *traceFile != "" {
		trace, err := readTraceFile(*traceFile)
		if err != nil {
			fmt.Fprintln(stderr, "check:", err)
			return 2
		}
		right = trace.Print(stdout) && right
	}
	if !right {
		return 1
	}
	return 0
}

func readTraceFile(name string) (Trace, error) {
	f, err := os.Open(name)
	if err != nil {
		return Trace{}, err
	}
	defer f.Close()
	t, err := ReadTrace(f)
	if err != nil {
		return t, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}
