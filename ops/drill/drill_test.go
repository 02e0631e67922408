package drill

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"backfleet/integration/rig"
	"backfleet/ops/drill/network"
)

const built = "BACKFLEET_DRILL_BINARY" // set: the network is our own

// TestMain builds the binary, and goes on where the network is its own.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		binary, done := os.Getenv(built), func() {}
		var err error
		if binary == "" {
			binary, done, err = rig.Build("../..")
		}
		defer done()
		there, status := false, 1
		if err == nil {
			there, status, err = network.Enter(built + "=" + binary)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if there {
			return m.Run()
		}
		return status
	}())
}

// TestEveryKind drills each kind a little, with real processes.
func TestEveryKind(t *testing.T) {
	for name, times := range map[string]int{"leader-kill": 2, "leader-pause": 1, "partition": 2, "disk-full": 1, "disk-slow": 1,
		"agent-loss": 1, "rolling-restart": 1, "clock-jump": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			var out bytes.Buffer
			err := Run(t.Context(), Options{Kind: name, Times: times, Coordinators: 3, Agents: 2, Binary: os.Getenv(built), Out: &out, Err: &out})
			t.Log("\n" + out.String())
			if err != nil {
				t.Error(err)
			}
		})
	}
}
