package node

import (
	"regexp"
	"sync" //nolint:depguard // what it gives is the same whenever and by whomever it is asked
)

// onUse compiles an expression when it is first used: all of them take a
// megabyte and three milliseconds, also of a process that reads no node, such
// as an agent's.
func onUse(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
