// Package metrics is the file by which the code of a node reports results: it
// appends lines `name=value` to the file that the variable BACKFLEET_METRICS
// names. The keeper reads it when the process has ended.
package metrics

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"backfleet/pkg/wire"
)

const (
	// Variable names the file to the code.
	Variable = "BACKFLEET_METRICS"
	// File is its name in the working folder.
	File = ".backfleet-metrics"
	// MostNames and MostBytes bound the metrics of an attempt, the bytes those of
	// names and values together.
	MostNames = 32
	MostBytes = 2 << 10
	// MostFile is how much of the file is read: its end, for the last line of a
	// name counts.
	MostFile = 64 << 10
)

// mostName is how long the name of a metric may be.
const mostName = 64

// Read gives the metrics of a file, in the order in which their names come first;
// of several lines with one name the last counts. What is malformed or too much
// is left out, which notes tell, a line each.
func Read(text []byte) (list []*wire.Metric, notes []string) {
	malformed, first := 0, ""
	places := map[string]int{}
	for n, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		m, why := parse(string(line))
		if why != "" {
			if malformed++; malformed == 1 {
				first = fmt.Sprintf("line %d: %s", n+1, why)
			}
			continue
		}
		if i, known := places[m.Name]; known {
			list[i] = m
			continue
		}
		places[m.Name] = len(list)
		list = append(list, m)
	}
	if malformed > 0 {
		notes = append(notes, fmt.Sprintf("metrics: %d of the lines are left out, the first is %s", malformed, first))
	}
	list, left := bounded(list)
	if len(left) > 0 {
		notes = append(notes, fmt.Sprintf("metrics: %d are left out, %s the first of them: at most %d, of %d bytes together", len(left), left[0], MostNames, MostBytes))
	}
	return list, notes
}

// parse reads one line; why says what is wrong with it.
func parse(line string) (m *wire.Metric, why string) {
	key, value, found := strings.Cut(line, "=")
	value = strings.TrimSpace(value)
	switch {
	case !found:
		return nil, `expected name=value`
	case !named(key):
		return nil, "expected a name of letters, digits, _, . and -, at most 64, that begins with a letter or _"
	case value == "":
		return nil, key + ": expected a value"
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return nil, key + ": expected a number or a short text"
	}
	return &wire.Metric{Name: key, Value: value}, ""
}

// named says whether something is the name of a metric.
func named(key string) bool {
	for i := range len(key) {
		switch c := key[i]; {
		case c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		case i > 0 && (c == '.' || c == '-' || '0' <= c && c <= '9'):
		default:
			return false
		}
	}
	return key != "" && len(key) <= mostName
}

// bounded keeps what there is room for.
func bounded(list []*wire.Metric) (kept []*wire.Metric, left []string) {
	room := MostBytes
	for _, m := range list {
		size := len(m.Name) + len(m.Value)
		if len(kept) == MostNames || size > room {
			left = append(left, m.Name)
			continue
		}
		room -= size
		kept = append(kept, m)
	}
	return kept, left
}
