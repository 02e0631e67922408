package suite

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Figure is one measured number.
type Figure struct {
	Row    string    `json:"row"`
	What   string    `json:"what"`
	Unit   string    `json:"unit"`
	Value  float64   `json:"value"`            // median of Rounds, unless What says otherwise
	Rounds []float64 `json:"rounds,omitempty"` // in the order measured
	Target *Target   `json:"target,omitempty"`
	Met    *bool     `json:"met,omitempty"`
	Bound  *Bound    `json:"bound,omitempty"`
	Ratio  float64   `json:"ratio,omitempty"` // Value over Bound.Value
}

// Target is what is promised for the reference machine; one of the two is set.
type Target struct {
	AtMost       float64 `json:"atMost,omitempty"`
	AtLeast      float64 `json:"atLeast,omitempty"`
	OfBound      bool    `json:"ofBound,omitempty"` // the number is a share of the bound
	whenAtScale  string  // what the target holds for
	differsScale bool    // this run is of another size: the target is shown, not judged
}

// Bound is what the machine gave the barest program in the same run.
type Bound struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
}

func atMost(v float64) *Target  { return &Target{AtMost: v} }
func atLeast(v float64) *Target { return &Target{AtLeast: v} }

// onlyIf marks a target as not to be judged by this run.
func (t *Target) onlyIf(ok bool, scale string) *Target {
	t.differsScale, t.whenAtScale = !ok, scale
	return t
}

// finish fills in what follows from the rest.
func (f *Figure) finish() {
	if len(f.Rounds) > 0 && f.Value == 0 {
		f.Value = median(f.Rounds)
	}
	if f.Bound != nil && f.Bound.Value > 0 {
		f.Ratio = f.Value / f.Bound.Value
	}
	if f.Target == nil || f.Target.differsScale {
		return
	}
	v := f.Value
	if f.Target.OfBound {
		v = f.Ratio
	}
	met := f.Target.AtMost > 0 && v <= f.Target.AtMost || f.Target.AtLeast > 0 && v >= f.Target.AtLeast
	f.Met = &met
}

func (t *Target) text(unit string) string {
	if t == nil {
		return ""
	}
	var s string
	switch {
	case t.OfBound:
		s = fmt.Sprintf("≥ %.0f %% of the bound", t.AtLeast*100)
	case t.AtMost > 0:
		s = "≤ " + number(t.AtMost, unit)
	default:
		s = "≥ " + number(t.AtLeast, unit)
	}
	if t.differsScale {
		s += " (" + t.whenAtScale + ")"
	}
	return s
}

func (f *Figure) verdict() string {
	switch {
	case f.Met == nil:
		return ""
	case *f.Met:
		return "yes"
	default:
		return "NO"
	}
}

func (f *Figure) text() string {
	s := number(f.Value, f.Unit)
	if f.Bound != nil {
		s += fmt.Sprintf("; bound %s (%s), ratio %s", number(f.Bound.Value, f.Unit), f.Bound.What, ratio(f.Ratio))
	}
	return s
}

func ratio(v float64) string {
	switch {
	case v == 0:
		return ""
	case v < 10:
		return fmt.Sprintf("%.2f×", v)
	default:
		return fmt.Sprintf("%.0f×", v)
	}
}

// number writes a value with as many digits as mean something.
func number(v float64, unit string) string {
	digits := 0
	for x := math.Abs(v); x < 100 && digits < 3; x *= 10 {
		digits++
	}
	s := fmt.Sprintf("%.*f", digits, v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return thousands(s) + " " + unit
}

// thousands groups the digits before the point.
func thousands(s string) string {
	whole, rest, point := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		return whole + "." + rest
	}
	return whole
}

func median(v []float64) float64 { return percentile(v, 50) }

// percentile is the nearest-rank percentile; 0 of nothing.
func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[min(len(s)-1, max(0, int(math.Ceil(p/100*float64(len(s))))-1))]
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
