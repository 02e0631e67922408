package server

import (
	"testing"

	"backfleet/coordinator/raftnode"
	"backfleet/pkg/fault"
)

func TestWhoMayBeRemoved(t *testing.T) {
	three := []raftnode.Server{{ID: "c1", Voter: true, Leader: true}, {ID: "c2", Voter: true}, {ID: "c3", Voter: true}}
	five := append(three[:3:3], raftnode.Server{ID: "c4", Voter: true}, raftnode.Server{ID: "c5", Voter: true})
	for _, x := range []struct {
		what    string
		members []raftnode.Server
		id      string
		silent  []string
		force   bool
		want    fault.Code
	}{
		{"a voter of three", three, "c2", nil, false, ""},
		{"the leader", three, "c1", nil, false, ""},
		{"one that is lost", three, "c2", []string{"c2"}, false, ""},
		{"one of three while another is lost", three, "c2", []string{"c3"}, false, fault.Conflict},
		{"the same, forced", three, "c2", []string{"c3"}, true, ""},
		{"one of five while another is lost", five, "c2", []string{"c3"}, false, ""},
		{"one of five while two others are lost", five, "c2", []string{"c3", "c4"}, false, fault.Conflict},
		{"a stranger", three, "c9", nil, true, fault.NotFound},
		{"the only voter", three[:1], "c1", nil, true, fault.Conflict},
		{"the only voter beside a newcomer", append(three[:1:1], raftnode.Server{ID: "c2"}), "c1", nil, true, fault.Conflict},
		{"a newcomer", append(three[:1:1], raftnode.Server{ID: "c2"}), "c2", []string{"c2"}, false, ""},
	} {
		err := removable(x.members, x.id, x.force, func(m raftnode.Server) bool {
			for _, id := range x.silent {
				if id == m.ID {
					return false
				}
			}
			return true
		})
		if fault.CodeOf(err) != x.want {
			t.Errorf("%s: %v, expected %q", x.what, err, x.want)
		}
	}
}
