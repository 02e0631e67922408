package channel

import (
	"strconv"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// FormatID is a notification's id as people see it.
func FormatID(id uint64) string { return "n" + strconv.FormatUint(id, 10) }

// ParseID reads what FormatID writes, and what WebhookID makes of it.
func ParseID(s string) (uint64, error) {
	digits, ok := strings.CutPrefix(s, "n")
	digits, _, _ = strings.Cut(digits, "-")
	id, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || id == 0 || digits[0] == '0' {
		return 0, fault.New(fault.Invalid, "%q is no id of a notification: expected n12", clip(s))
	}
	return id, nil
}

// WebhookID is a notification's id for who receives it: the same for each
// delivery, and another one in every cluster.
func WebhookID(n *wire.SnapshotNotification) string {
	return FormatID(n.GetId()) + "-" + strconv.FormatInt(n.GetNotification().GetAtMs(), 36)
}
