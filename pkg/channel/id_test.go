package channel

import (
	"testing"

	"backfleet/pkg/wire"
)

func TestIDs(t *testing.T) {
	n := &wire.SnapshotNotification{Id: 12, Notification: &wire.Notification{AtMs: 1773130200000}}
	for text, want := range map[string]uint64{"n12": 12, WebhookID(n): 12, "n1-": 1} {
		if id, err := ParseID(text); err != nil || id != want {
			t.Errorf("%s: %d, %v", text, id, err)
		}
	}
	for _, text := range []string{"", "n", "12", "n0", "nx", "b12", "n-1", "n012", "n+1"} {
		if id, err := ParseID(text); err == nil {
			t.Errorf("%q: %d", text, id)
		}
	}
}
