package cli_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"backfleet/api/cli"
	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"backfleet": func() {
		agent := &cobra.Command{Use: "agent", Short: "Run an agent", RunE: func(c *cobra.Command, _ []string) error {
			c.Println("an agent runs")
			return nil
		}}
		os.Exit(cli.Main(cli.NewRoot(cli.Options{Version: "1.2.3", Commands: []*cobra.Command{agent}}), os.Args[1:]))
	}})
}

type backendKey struct{}

// TestScripts runs the command line against the real server before a stand-in
// of a coordinator.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			b := standin.New()
			b.WriteLog(cri.Stdout, false, "begin")
			b.WriteLog(cri.Stderr, true, "half ")
			b.WriteLog(cri.Stderr, false, "and half")
			b.WriteLog(cri.Stdout, false, "end")
			b.EndLog()
			s := server.New(server.Options{Backend: b, Logger: slog.New(slog.DiscardHandler), Heartbeat: 50 * time.Millisecond})
			h := httptest.NewServer(s.Handler())
			e.Defer(func() {
				if err := s.Stop(context.Background()); err != nil {
					t.Error(err)
				}
				h.Close()
			})
			e.Values[backendKey{}] = b
			e.Setenv("BACKFLEET_SERVER", h.URL)
			e.Setenv("USER", "ada")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// outcome STATE: how the backfill ends.
			"outcome": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value(backendKey{}).(*standin.Backend).Set(func(b *standin.Backend) { b.Outcome = v1.State(args[0]) })
			},
			// refuse CODE WORD...: what every call answers; without words, as before.
			"refuse": func(ts *testscript.TestScript, _ bool, args []string) {
				if len(args) == 0 {
					ts.Value(backendKey{}).(*standin.Backend).Set(func(b *standin.Backend) { b.Fail = nil })
					return
				}
				refusal := fault.New(fault.Code(args[0]), "%s", strings.Join(args[1:], " "))
				ts.Value(backendKey{}).(*standin.Backend).Set(func(b *standin.Backend) { b.Fail = func(string) error { return refusal } })
			},
			// done TEXT: an operation that arrived holds TEXT, written as said below.
			"done": func(ts *testscript.TestScript, _ bool, args []string) {
				var all []string
				ts.Value(backendKey{}).(*standin.Backend).Set(func(b *standin.Backend) { all = batches(b) })
				if !slices.ContainsFunc(all, func(one string) bool { return strings.Contains(one, args[0]) }) {
					ts.Fatalf("no operation holds %s:\n%s", args[0], strings.Join(all, "\n"))
				}
			},
			// edits N [TEXT]: so many were applied, and the newest holds TEXT.
			"edits": func(ts *testscript.TestScript, _ bool, args []string) {
				var n int
				var newest string
				ts.Value(backendKey{}).(*standin.Backend).Set(func(b *standin.Backend) {
					if n = len(b.Edits); n > 0 {
						newest = fmt.Sprintf("why=%q %s", b.Writes[len(b.Writes)-1].Why, oneSpace(b.Edits[n-1]))
					}
				})
				if strconv.Itoa(n) != args[0] || len(args) > 1 && !strings.Contains(newest, args[1]) {
					ts.Fatalf("%d edits, the newest: %s", n, newest)
				}
			},
			// asked PATTERN: the newest request that was submitted matches.
			"asked": func(ts *testscript.TestScript, _ bool, args []string) {
				var text string
				ts.Value(backendKey{}).(*standin.Backend).Set(func(b *standin.Backend) { text = oneSpace(b.Request) })
				if !regexp.MustCompile(args[0]).MatchString(text) {
					ts.Fatalf("asked for %s", text)
				}
			},
			// wrote WHY: the newest write said so.
			"wrote": func(ts *testscript.TestScript, _ bool, args []string) {
				var why string
				ts.Value(backendKey{}).(*standin.Backend).Set(func(b *standin.Backend) { why = b.Writes[len(b.Writes)-1].Why })
				if why != args[0] {
					ts.Fatalf("the newest write said %q", why)
				}
			},
			// exits STATUS COMMAND...: the exact status of a command.
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if err != nil {
					got = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if got != args[0] {
					ts.Fatalf("exit status %s, expected %s", got, args[0])
				}
			},
		},
	})
}

// batches writes what operations arrived: why="" kind:… targets:{…}, and
// which descendants.
func batches(b *standin.Backend) []string {
	var why []string
	for _, w := range b.Writes {
		why = append(why, w.Why)
	}
	why = why[len(why)-len(b.Batches):]
	var all []string
	for i, o := range b.Batches {
		text := fmt.Sprintf("why=%q %s", why[i], oneSpace(o.Operate))
		if o.AllDescendants {
			text += " all descendants"
		}
		for _, d := range o.Descendants {
			text += " descendants {" + oneSpace(d) + "}"
		}
		all = append(all, text)
	}
	return all
}

// oneSpace writes a message as text, whose blanks differ from run to run on
// purpose, with one blank each.
func oneSpace(m proto.Message) string {
	return strings.Join(strings.Fields(prototext.MarshalOptions{}.Format(m)), " ")
}

// TestEveryCommandHasHelpWithAnExample keeps the help complete.
func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s: a short text and an example are needed", c.CommandPath())
		}
		for _, below := range c.Commands() {
			visit(below)
		}
	}
	visit(cli.NewRoot(cli.Options{}))
}
