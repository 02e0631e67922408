package node

import (
	"fmt"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
)

// detail is one finding about a field.
func detail(field, format string, args ...any) fault.Detail {
	return fault.Detail{Field: field, Message: fmt.Sprintf(format, args...)}
}

// maxFindings is the most findings that one error tells.
const maxFindings = 100

// problems makes one error of several findings; nil for none.
func problems(what string, details []fault.Detail) error {
	count := len(details)
	switch {
	case count == 0:
		return nil
	case count == 1:
		return fault.New(fault.Invalid, "%s: 1 problem", what).WithDetails(details...)
	case count > maxFindings:
		details = append(details[:maxFindings:maxFindings], detail("", "and %d more", count-maxFindings))
	}
	return fault.New(fault.Invalid, "%s: %d problems", what, count).WithDetails(details...)
}

// nodeField is the path of a field of one node among many.
func nodeField(id, field string) string { return fmt.Sprintf("nodes[%q].%s", clip(id), field) }

func upstreamField(k int) string { return fmt.Sprintf("upstreams[%d]", k) }

// clip cuts foreign text, so that it cannot flood a message.
func clip(s string) string {
	const most = 128 // a node id is whole
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// list writes names for people: "a, b or c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// didYouMean suggests the known name that is nearest to a wrong one, as
// ` (did you mean "…"?)`; empty when none is near.
func didYouMean(wrong string, known []string) string { return nearest.Hint(wrong, known) }
