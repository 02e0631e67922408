// Package nearest finds the known name that somebody may have meant.
package nearest

import (
	"fmt"
	"slices"
	"strings"
)

// longest is the length of the longest name for which one is looked for.
const longest = 130

// Name gives the known name nearest to a wrong one, whatever the case of its
// letters; empty when none is near.
func Name(wrong string, known []string) string {
	if len(wrong) > longest {
		return ""
	}
	most := min(3, (len(wrong)+2)/3)
	best, bestAt := "", most+1
	for _, k := range slices.Sorted(slices.Values(known)) {
		if len(k) > len(wrong)+most || len(k) < len(wrong)-most {
			continue
		}
		if at := distance(strings.ToLower(wrong), strings.ToLower(k)); at < bestAt {
			best, bestAt = k, at
		}
	}
	return best
}

// Hint is Name for the end of a sentence, as ` (did you mean "…"?)`.
func Hint(wrong string, known []string) string {
	if best := Name(wrong, known); best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return ""
}

// distance is the number of letters to insert, drop or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
