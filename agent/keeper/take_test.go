package keeper

import (
	"testing"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

// TestAShortLogIsInNoFile: between the end of a process and the journal there is
// nothing of its log to read, so none of it may be told.
func TestAShortLogIsInNoFile(t *testing.T) {
	k := &Keeper{store: &store{dir: t.TempDir()}}
	result := &wire.AttemptResult{}
	for name, c := range map[string]struct {
		a      *kept
		bytes  uint64
		log    string
		folder bool
	}{
		"running, in files":           {&kept{running: true, logBytes: 73}, 73, "", true},
		"ended, not yet in a journal": {&kept{running: true, logBytes: 4, log: []byte("log\n")}, 0, "", true},
		"ended":                       {&kept{result: result, logBytes: 4, log: []byte("log\n")}, 4, "log\n", false},
		"ended, in files":             {&kept{result: result, logBytes: 73}, 73, "", true},
	} {
		c.a.key = attempt.Key{Plan: 1, Instance: 2, Attempt: 1, Fence: 3}
		m := k.take(&watcher{queue: []*kept{c.a}})[0]
		if m.LogBytes != c.bytes || string(m.Log) != c.log || (m.LogDirectory != "") != c.folder {
			t.Errorf("%s: %v", name, m)
		}
	}
}
