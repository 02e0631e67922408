package cli_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

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
			// refuse CODE WORD...: what every call answers.
			"refuse": func(ts *testscript.TestScript, _ bool, args []string) {
				refusal := fault.New(fault.Code(args[0]), "%s", strings.Join(args[1:], " "))
				ts.Value(backendKey{}).(*standin.Backend).Set(func(b *standin.Backend) { b.Fail = func(string) error { return refusal } })
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
