// Package expose writes figures in the text format that Prometheus reads, for
// programs that are to be small and link no library for it.
package expose

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ContentType is the format's.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Page is what is answered to one scrape. All samples of a figure are to be
// added one after the other.
type Page struct {
	text strings.Builder
	last string // figure
}

// Gauge adds a sample of what stands; labels are names and values in turn.
func (p *Page) Gauge(name, help string, value float64, labels ...string) {
	p.sample("gauge", name, help, value, labels)
}

// Counter adds a sample of what only grows.
func (p *Page) Counter(name, help string, value float64, labels ...string) {
	p.sample("counter", name, help, value, labels)
}

func (p *Page) sample(kind, name, help string, value float64, labels []string) {
	p.family(kind, name, help)
	p.line(name, value, labels)
}

func (p *Page) family(kind, name, help string) {
	if p.last != name {
		fmt.Fprintf(&p.text, "# HELP %s %s\n# TYPE %s %s\n", name, escape(help, false), name, kind)
		p.last = name
	}
}

func (p *Page) line(name string, value float64, labels []string) {
	p.text.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		p.text.WriteByte("{,"[min(i, 1)])
		p.text.WriteString(labels[i] + `="` + escape(labels[i+1], true) + `"`)
	}
	if len(labels) > 1 {
		p.text.WriteByte('}')
	}
	p.text.WriteString(" " + number(value) + "\n")
}

func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// escape makes a text fit between quotes, or behind a figure's name.
func escape(text string, quoted bool) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), "\n", `\n`)
	if quoted {
		text = strings.ReplaceAll(text, `"`, `\"`)
	}
	return text
}

// Histogram counts values by size. It may be used by many goroutines.
type Histogram struct {
	mu     sync.Mutex
	bounds []float64
	counts []uint64 // not summed up; the last is of what is larger than all bounds
	sum    float64
}

// NewHistogram makes a histogram with these bounds, which grow.
func NewHistogram(bounds ...float64) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

// Observe counts a value.
func (h *Histogram) Observe(v float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += v
}

// Histogram adds one without labels.
func (p *Page) Histogram(name, help string, h *Histogram) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.family("histogram", name, help)
	total := uint64(0)
	for i, n := range h.counts {
		bound := math.Inf(1)
		if i < len(h.bounds) {
			bound = h.bounds[i]
		}
		total += n
		p.line(name+"_bucket", float64(total), []string{"le", number(bound)})
	}
	p.line(name+"_sum", h.sum, nil)
	p.line(name+"_count", float64(total), nil)
}

// Process adds what there is to say of this process, by the names that the
// library has for it.
func (p *Page) Process() {
	p.Gauge("go_goroutines", "Goroutines that there are.", float64(runtime.NumGoroutine()))
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) == nil {
		p.Counter("process_cpu_seconds_total", "Time on processors, of the user and of the system, in seconds.", seconds(use.Utime)+seconds(use.Stime))
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if parts := strings.Fields(string(text)); len(parts) > 1 {
			if pages, err := strconv.ParseFloat(parts[1], 64); err == nil {
				p.Gauge("process_resident_memory_bytes", "Memory that is resident.", pages*float64(os.Getpagesize()))
			}
		}
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.Gauge("process_open_fds", "Files that are open.", float64(len(open)))
	}
	p.Gauge("process_start_time_seconds", "When the process started, in Unix time.", float64(started.UnixMilli())/1000)
}

var started = time.Now()

func seconds(t unix.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// String is the page's text.
func (p *Page) String() string { return p.text.String() }
