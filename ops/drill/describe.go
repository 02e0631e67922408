package drill

import (
	"fmt"
	"strings"
)

// Describe says what each kind does.
func Describe() string {
	var b strings.Builder
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %-16s %s\n", k.name, k.short)
	}
	return b.String()
}

// Apart says whether a drill needs namespaces of its own (network.Enter).
func Apart(name string) bool {
	for _, k := range kinds {
		if (k.network || k.disk) && (name == k.name || name == All) {
			return true
		}
	}
	return false
}
