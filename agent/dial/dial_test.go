package dial

import (
	"slices"
	"testing"

	"backfleet/pkg/fault"
)

// round is every address that a pool tries, sorted.
func round(p *Pool, n int) []string {
	var got []string
	for range n {
		got = append(got, p.Next())
	}
	slices.Sort(got)
	return got
}

func TestPoolLearns(t *testing.T) {
	p := NewPool([]string{"127.0.0.1:1"}, nil, "")
	p.Know([]string{"127.0.0.1:2", "127.0.0.1:1"})
	if got := round(p, 2); !slices.Equal(got, []string{"127.0.0.1:1", "127.0.0.1:2"}) {
		t.Errorf("configured and found: %q", got)
	}
	p.Know([]string{"127.0.0.1:3"})
	if got := round(p, 4); !slices.Equal(got, []string{"127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:3", "127.0.0.1:3"}) {
		t.Errorf("after it moved: %q", got)
	}
	none := NewPool(nil, nil, "")
	if _, err := none.Connect(none.Next()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("none known: %v", err)
	}
	none.Know([]string{"10.1.2.3:4"})
	if _, err := none.Connect(none.Next()); !fault.Is(err, fault.Invalid) {
		t.Errorf("found beyond the loopback, without TLS: %v", err)
	}
}
