package state

import (
	"encoding/binary"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"backfleet/pkg/wire"
)

// Bounds of what is kept of an attempt's metrics. Agents keep to them; that they
// do is not believed.
const (
	MaxMetrics     = 32
	MaxMetricBytes = 2 << 10 // names and values together
)

var metricName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)

// KeptCause is what is kept of what an agent gives as the cause of a failure.
func KeptCause(text string) string { return clip(text) }

// KeptMetrics is what is kept of what an agent reports, in its order: of each
// name the first that is well formed and for which there is room. What is right
// as it is it gives back itself.
func KeptMetrics(list []*wire.Metric) []*wire.Metric {
	fits, room := len(list) <= MaxMetrics, MaxMetricBytes
	for i, m := range list {
		room -= len(m.Name) + len(m.Value)
		fits = fits && room >= 0 && soundMetric(m) && !named(list[:i], m.Name)
	}
	if fits {
		return list
	}
	var kept []*wire.Metric
	room = MaxMetricBytes
	for _, m := range list {
		size := len(m.GetName()) + len(m.GetValue())
		if len(kept) < MaxMetrics && size <= room && soundMetric(m) && !named(kept, m.Name) {
			kept, room = append(kept, m), room-size
		}
	}
	return kept
}

func soundMetric(m *wire.Metric) bool {
	return len(m.Value) > 0 && len(m.Value) <= MaxMetricBytes && metricName.MatchString(m.Name) &&
		utf8.ValidString(m.Value) && !strings.ContainsFunc(m.Value, unicode.IsControl)
}

func named(list []*wire.Metric, name string) bool {
	for _, m := range list {
		if m.Name == name {
			return true
		}
	}
	return false
}

// metricsRoom is how many bytes their record takes at most.
func metricsRoom(list []*wire.Metric) int {
	if len(list) == 0 {
		return 0
	}
	room := 4
	for _, m := range list {
		room += 4 + len(m.Name) + len(m.Value)
	}
	return room
}

// appendMetrics writes the record of an attempt's metrics behind the attempt's:
// name and value of each, every text after its length.
func appendMetrics(b []byte, slot uint64, list []*wire.Metric) []byte {
	if len(list) == 0 {
		return b
	}
	var room [256]byte
	own := room[:0]
	for _, m := range list {
		for _, text := range [2]string{m.Name, m.Value} {
			own = append(binary.AppendUvarint(own, uint64(len(text))), text...)
		}
	}
	b = binary.AppendUvarint(append(b, byte(slot), kindMetrics), uint64(len(own)))
	return append(b, own...)
}

func readMetrics(b []byte) (list []*wire.Metric) {
	for len(b) > 0 {
		var name, value []byte
		name, b = cutSized(b)
		value, b = cutSized(b)
		list = append(list, &wire.Metric{Name: string(name), Value: string(value)})
	}
	return list
}

// cutSized takes bytes off that stand after their number.
func cutSized(b []byte) (own, rest []byte) {
	n, k := binary.Uvarint(b)
	return b[k : k+int(n)], b[k+int(n):]
}
