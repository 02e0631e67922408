// Package secret is how the texts of a node name secrets: {secret:NAME} stands
// for the variable NAME of the attempt.
package secret

import (
	"regexp"
	"slices"

	"backfleet/pkg/fault"
)

var mark = regexp.MustCompile(`\{secret:([A-Za-z_][A-Za-z0-9_]*)\}`)

// Names are the variables that a text names, each once.
func Names(text string) (names []string) {
	for _, m := range mark.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

// Expand puts in the values. A variable that is not there or empty is an error:
// what needs a secret must not go on without it.
func Expand(text string, lookup func(name string) (string, bool)) (string, error) {
	var missing error
	text = mark.ReplaceAllStringFunc(text, func(found string) string {
		name := mark.FindStringSubmatch(found)[1]
		value, _ := lookup(name)
		if value == "" && missing == nil {
			missing = fault.New(fault.NotFound, "%s: the attempt has no variable %s, or it is empty; have the agent hand it on (environment.inherit) or set it (environment.set)", found, name)
		}
		return value
	})
	return text, missing
}
