package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
)

// TestLogsAreReadByRange reads a log in small pieces, by its tail, and as text.
func TestLogsAreReadByRange(t *testing.T) {
	c := newContract(t, server.Options{})
	var want []string
	for i := range 300 {
		stream := cri.Stdout
		if i%3 == 0 {
			stream = cri.Stderr
		}
		text := fmt.Sprintf("line %d %s", i, strings.Repeat("é", i%50))
		want = append(want, text)
		c.backend.WriteLog(stream, false, text)
	}
	read := func(query string) (p v1.LogPage) {
		t.Helper()
		w := c.ask("GET", "/v1/instances/b1.1/logs?"+query, "")
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		return p
	}
	var got []string
	for p := (v1.LogPage{}); ; {
		// One byte is made as long as the first line; a page never stands still.
		next := read(fmt.Sprintf("offset=%d&limit=%d", p.Next, 1+p.Next%200))
		for _, l := range next.Lines {
			got = append(got, l.Text)
		}
		if next.Next == p.Next {
			if next.Complete || next.Next != next.Size {
				t.Fatalf("stopped at %d of %d, complete %v", next.Next, next.Size, next.Complete)
			}
			break
		}
		p = next
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d lines were read of %d", len(got), len(want))
	}
	if p := read("tail=2&stream=stderr"); len(p.Lines) != 2 || p.Lines[1].Text != want[297] || p.Next != p.Size {
		t.Errorf("tail: %+v", p)
	}
	if p := read("tail=1000"); len(p.Lines) != len(want) {
		t.Errorf("a tail longer than the log: %d lines", len(p.Lines))
	}
	// From the middle of a line: its rest is left out.
	if p := read("offset=5&limit=200"); len(p.Lines) == 0 || p.Lines[0].Text != want[1] {
		t.Errorf("from inside a line: %+v", p.Lines)
	}
	c.backend.EndLog()
	w := c.ask("GET", "/v1/instances/b1.1/logs?tail=1&timestamps=true", "", "Accept", "text/plain")
	if w.Body.String() != "2026-11-22T03:14:15.123456789Z stdout "+want[299]+"\n" || w.Header().Get("Backfleet-Log-Complete") != "true" {
		t.Errorf("as text: %q %v", w.Body, w.Header())
	}
}
