package state

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"backfleet/pkg/wire"
)

// modelSources is data sources, and which node names which.
type modelSources struct {
	all   map[string]*wire.DataSource
	named map[string]string // by node
}

func (m *modelSources) apply(c *wire.Command) {
	switch b := c.Body.(type) {
	case *wire.Command_ApplyNodes:
		for _, n := range b.ApplyNodes.Nodes {
			m.named[n.Id] = n.Source
		}
		for _, id := range b.ApplyNodes.Remove {
			delete(m.named, id)
		}
	case *wire.Command_PutDataSource:
		m.all[b.PutDataSource.Source.Name] = b.PutDataSource.Source
	case *wire.Command_RemoveDataSource:
		delete(m.all, b.RemoveDataSource.Name)
	}
}

// foresees says whether a command on data sources must be allowed.
func (m *modelSources) foresees(c *wire.Command) (allowed, known bool) {
	switch b := c.Body.(type) {
	case *wire.Command_PutDataSource:
		return strings.HasPrefix(b.PutDataSource.Source.Database, "/"), true
	case *wire.Command_RemoveDataSource:
		for _, name := range m.named {
			if name == b.RemoveDataSource.Name {
				return false, true
			}
		}
		return m.all[b.RemoveDataSource.Name] != nil, true
	}
	return false, false
}

func (m *modelSources) check(t testing.TB, s *State) {
	t.Helper()
	n := 0
	s.DataSources(func(d *wire.DataSource) {
		n++
		if want := m.all[d.Name]; want == nil || want.Database != d.Database {
			t.Fatalf("data source %v, expected %v", d, want)
		}
	})
	if n != len(m.all) {
		t.Fatalf("%d data sources, expected %d", n, len(m.all))
	}
	use := s.SourceUse()
	for _, name := range m.named {
		if use[name]--; name != "" && use[name] < 0 {
			t.Fatalf("data source %q is named more often than is counted", name)
		}
	}
	for name, more := range use {
		if name != "" && more != 0 {
			t.Fatalf("data source %q is named %d times less than is counted", name, more)
		}
	}
}

var sourceNames = []string{"db", "other"}

// source makes commands on data sources, some of them wrong.
func (g *generator) source() *wire.Command {
	name := pick(g, sourceNames)
	if g.oneIn(2) {
		return removeSource(name)
	}
	return putSource(&wire.DataSource{Name: name, Type: "sqlite", Database: pick(g, []string{"/a", "/b", "nowhere"})})
}

func putSource(d *wire.DataSource) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_PutDataSource{PutDataSource: &wire.PutDataSource{Source: d}}}
}

func removeSource(name string) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_RemoveDataSource{RemoveDataSource: &wire.RemoveDataSource{Name: name}}}
}

// metrics are mostly none. Those that are to be left out for what they are have a
// name that begins with bad.
func (g *generator) metrics() (list []*wire.Metric) {
	if !g.oneIn(3) {
		return nil
	}
	for range g.IntN(5) {
		list = append(list, &wire.Metric{Name: pick(g, []string{"rows", "bytes", "check.sum"}), Value: fmt.Sprint(g.IntN(1000))})
	}
	switch g.IntN(8) {
	case 0:
		list = append(list, &wire.Metric{Name: "bad name", Value: "1"}, &wire.Metric{Name: "bad_value", Value: "a\nb"}, &wire.Metric{Name: "bad_none"})
	case 1:
		for i := range 40 {
			list = append(list, &wire.Metric{Name: fmt.Sprint("m", i), Value: strings.Repeat("x", g.IntN(60))})
		}
	case 2:
		list = append(list, &wire.Metric{Name: "long", Value: strings.Repeat("x", g.IntN(4000))}, &wire.Metric{Name: "after", Value: "1"})
	}
	return list
}

var modelBad = regexp.MustCompile(`^bad|=$`)

// modelMetrics is what should be kept of metrics: of each name the first, 32 of
// them and 2 KiB.
func modelMetrics(list []*wire.Metric) string {
	var kept []*wire.Metric
	for _, m := range list {
		size := len(m.Name) + len(m.Value)
		twice := false
		for _, k := range kept {
			size += len(k.Name) + len(k.Value)
			twice = twice || k.Name == m.Name
		}
		if !twice && len(kept) < 32 && size <= 2048 && !modelBad.MatchString(m.Name+"="+m.Value) {
			kept = append(kept, m)
		}
	}
	return metricText(kept)
}

func metricText(list []*wire.Metric) string {
	text := ""
	for _, m := range list {
		text += fmt.Sprintf("%s=%s;", m.Name, m.Value)
	}
	return text
}
