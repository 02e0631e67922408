package cli

import (
	"bytes"
	"strings"
	"testing"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func reported(pairs ...string) (out []v1.Assignment) {
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		out = append(out, v1.Assignment{Name: name, Value: value})
	}
	return out
}

func attempt(number int, state v1.AttemptState, metrics ...string) v1.Attempt {
	return v1.Attempt{Number: number, State: state, Metrics: reported(metrics...)}
}

func TestMetricsAreComparedNumericallyAndRelatively(t *testing.T) {
	first := &v1.InstanceDetail{Instance: v1.Instance{ID: "b1.0"}, Attempts: []v1.Attempt{
		attempt(1, v1.AttemptStateLost),
		attempt(2, v1.AttemptStateSucceeded, "rows=100", "bytes=0", "sum=abc", "same=x", "mean=0.10", "huge=12345678901234567890", "gone=1", "equal=1.0", "less=-4"),
		attempt(3, v1.AttemptStateSucceeded, "rows=117", "bytes=5", "sum=abd", "same=x", "mean=0.25", "huge=12345678901234567891", "fresh=2", "equal=1", "less=-6"),
		attempt(4, v1.AttemptStateRunning),
	}}
	a := &app{}
	for _, numbers := range [][]int{nil, {2, 3}} {
		c, err := compareAttempts([]*v1.InstanceDetail{first}, numbers)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		a.showComparison(&b, c)
		for _, want := range []string{
			"METRIC\tb1.0, attempt 2\tb1.0, attempt 3\tDIFFERENCE\tRELATIVE\n",
			"rows\t100\t117\t+17\t+17.00 %\n", "bytes\t0\t5\t+5\t\n", "sum\tabc\tabd\tdiffers\t\n", "same\tx\tx\tsame\t\n",
			"mean\t0.10\t0.25\t+0.15\t+150.00 %\n", "huge\t12345678901234567890\t12345678901234567891\t+1\t+0.00 %\n",
			"gone\t1\t\tmissing\t\n", "fresh\t\t2\tnew\t\n", "equal\t1.0\t1\tsame\t\n", "less\t-4\t-6\t-2\t-50.00 %\n",
		} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%q is missing in\n%s", want, b.String())
			}
		}
	}
	again := &v1.InstanceDetail{Instance: v1.Instance{ID: "b2.7"}, Attempts: []v1.Attempt{attempt(1, v1.AttemptStateSucceeded, "rows=116")}}
	c, err := compareAttempts([]*v1.InstanceDetail{first, again}, nil)
	if err != nil || c.First.Attempt.Number != 3 || c.Second.Instance != "b2.7" || *c.Metrics[0].Second != "116" || c.Metrics[0].Difference != "-1" {
		t.Errorf("two instances: %+v %v", c, err)
	}
	if c, err := compareAttempts([]*v1.InstanceDetail{first, again}, []int{2, 1}); err != nil || c.First.Attempt.Number != 2 || c.Metrics[0].Difference != "16" {
		t.Errorf("one of each: %+v %v", c, err)
	}
	for name, one := range map[string]struct {
		details []*v1.InstanceDetail
		numbers []int
		code    fault.Code
	}{
		"only one":         {[]*v1.InstanceDetail{again}, nil, fault.Conflict},
		"one that runs":    {[]*v1.InstanceDetail{first}, []int{3, 4}, fault.Conflict},
		"one there is not": {[]*v1.InstanceDetail{first}, []int{3, 9}, fault.NotFound},
		"none that ended":  {[]*v1.InstanceDetail{first, {Attempts: []v1.Attempt{attempt(1, v1.AttemptStateQueued)}}}, nil, fault.Conflict},
	} {
		if c, err := compareAttempts(one.details, one.numbers); !fault.Is(err, one.code) {
			t.Errorf("%s: %+v %v, expected %s", name, c, err, one.code)
		}
	}
}

func TestDecimalsAreNumbers(t *testing.T) {
	for text, want := range map[string]bool{
		"1": true, "-1": true, "+0.5": true, "1e3": true, "1.5E-2": true,
		"": false, "0x10": false, "1/3": false, "1e999": false, "NaN": false, "1 000": false, "1.": false, ".5": false, strings.Repeat("9", 41): false,
	} {
		if got := decimal(text) != nil; got != want {
			t.Errorf("%q is taken for a number: %v", text, got)
		}
	}
	if c := changeOf("n", &[]string{"1e3"}[0], &[]string{"1.5E-2"}[0]); c.Difference != "-999.985" {
		t.Errorf("the difference is %s", c.Difference)
	}
}
