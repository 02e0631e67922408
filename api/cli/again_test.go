package cli_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"backfleet/api/cli"
	"backfleet/api/internal/standin"
	"backfleet/api/server"
)

// serve runs the real server before a stand-in.
func serve(t *testing.T) (*standin.Backend, string) {
	t.Helper()
	b := standin.New()
	s := server.New(server.Options{Backend: b, Logger: slog.New(slog.DiscardHandler), Heartbeat: 50 * time.Millisecond})
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		h.Close()
	})
	return b, h.URL
}

// environment has nothing of the machine's.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if n, value, _ := strings.Cut(p, "="); n == name {
				return value
			}
		}
		return ""
	}
}

// TestWatchShowsWhatIsNew: once at the beginning, and once more when it changed.
func TestWatchShowsWhatIsNew(t *testing.T) {
	for _, form := range []string{"table", "json"} {
		_, url := serve(t)
		run := func(out io.Writer, in string, args ...string) error {
			root := cli.NewRoot(cli.Options{In: strings.NewReader(in), Out: out, Err: io.Discard, Getenv: environment("BACKFLEET_SERVER=" + url)})
			root.SetArgs(args)
			return root.ExecuteContext(t.Context())
		}
		ctx, cancel := context.WithCancel(t.Context())
		pipe, out := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			root := cli.NewRoot(cli.Options{Out: out, Err: io.Discard, Getenv: environment("BACKFLEET_SERVER=" + url)})
			root.SetArgs([]string{"group", "list", "--watch", "-o", form})
			err := root.ExecuteContext(ctx)
			out.Close()
			ended <- err
		}()
		lines := bufio.NewScanner(pipe)
		until := func(text string) (before []string) {
			for lines.Scan() {
				if before = append(before, lines.Text()); strings.Contains(lines.Text(), text) {
					return before
				}
			}
			t.Fatalf("%s: the output ended before %q: %q", form, text, before)
			return nil
		}
		until("default")
		if err := run(io.Discard, "", "group", "set", "default", "--reserve-for-auto", "3"); err != nil {
			t.Fatal(err)
		}
		separated := false
		for _, l := range until(map[string]string{"table": "default\tshared\t3", "json": `"reserveForAuto": 3`}[form]) {
			separated = separated || l == "---"
		}
		if separated != (form == "table") {
			t.Errorf("%s: separated by ---: %v", form, separated)
		}
		cancel()
		_, _ = io.Copy(io.Discard, pipe)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", form, err)
		}
	}
}

// TestWatchEndsWithWhatItWatches: an error is no reason to go on.
func TestWatchEndsWithWhatItWatches(t *testing.T) {
	_, url := serve(t)
	root := cli.NewRoot(cli.Options{Out: io.Discard, Err: io.Discard, Getenv: environment("BACKFLEET_SERVER=" + url)})
	root.SetArgs([]string{"node", "show", "gone", "--watch"})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), `"gone" does not exist`) {
		t.Errorf("%v: expected that the node does not exist", err)
	}
}
