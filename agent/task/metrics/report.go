package metrics

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"backfleet/pkg/fault"
)

// Report gathers the metrics of a task. The zero Report is ready; of a nil one
// nothing is kept. It may be used by several goroutines.
type Report struct {
	mu     sync.Mutex
	names  []string // in the order in which they came
	values map[string]string
}

// Set gives a metric its value: a text, or a number in decimal.
func (r *Report) Set(name string, value any) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values == nil {
		r.values = map[string]string{}
	}
	if _, known := r.values[name]; !known {
		r.names = append(r.names, name)
	}
	r.values[name] = text(value)
}

// text writes a value on one line. Go would write large floats with an exponent.
func text(value any) string {
	switch v := value.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	}
	return strings.Join(strings.Fields(fmt.Sprint(value)), " ")
}

// Write appends what was set to the file that BACKFLEET_METRICS names, in one
// piece, so that who is killed has reported all or nothing. Without the variable
// it does nothing.
func (r *Report) Write() error {
	path := os.Getenv(Variable)
	if r == nil || path == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.names) == 0 {
		return nil
	}
	var b strings.Builder
	for _, name := range r.names {
		fmt.Fprintf(&b, "%s=%s\n", name, r.values[name])
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = file.WriteString(b.String())
		if closed := file.Close(); err == nil {
			err = closed
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the metrics cannot be written; see whether %s is still the working folder's, and its disk is not full", Variable)
	}
	return nil
}
