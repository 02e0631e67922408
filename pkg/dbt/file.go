package dbt

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Mark begins every file that an import writes, so that the next one of the
// same project may replace or remove it, and no other.
func (m *Manifest) Mark() string {
	return fmt.Sprintf("# Of the dbt project %s, by `backfleet node import dbt`: what is changed here is lost with the next import.\n",
		strconv.QuoteToGraphic(m.Project))
}

// Files are the node files, by their path in the folder they are for: each
// node its own, below a folder for its package.
func (m *Manifest) Files(nodes []Node) (map[string][]byte, error) {
	files := make(map[string][]byte, len(nodes))
	for _, n := range nodes {
		text, err := write(n.Spec)
		if err != nil {
			return nil, err
		}
		folder := safe(n.Package) // no path of its own
		files[path.Join(folder, n.Spec.Id+".yaml")] = slices.Concat([]byte(m.Mark()), []byte("# "+n.Origin+"\n"), text)
	}
	return files, nil
}

// write gives a node as a node file has it, less what is as it is by default.
func write(n *wire.Node) ([]byte, error) {
	m := &mapping{}
	m.text("id", n.Id, "")
	m.text("name", n.Name, n.Id)
	m.text("workspace", n.Workspace, node.DefaultWorkspace)
	m.text("owner", n.Owner, "")
	m.text("type", n.Type, node.DefaultType)
	m.text("description", n.Description, "")
	m.assignments("params", n.Params)
	schedule := &mapping{flow: true}
	if schedule.text("daily", calendar.Clock(n.Schedule.At).String(), ""); n.Auto {
		schedule.add("auto", scalar("true", "!!bool"))
	}
	m.mapping("schedule", schedule)
	if n.Baseline != node.DefaultBaseline || n.Priority != node.DefaultPriority {
		baseline := &mapping{flow: true}
		baseline.text("name", n.Baseline, "")
		baseline.number("priority", n.Priority)
		m.mapping("baseline", baseline)
	}
	m.text("resourceGroup", n.ResourceGroup, node.DefaultResourceGroup)
	m.upstreams(n.Upstreams)
	if n.DependsOnSelf {
		m.add("dependsOnSelf", scalar("true", "!!bool"))
	}
	m.number("retries", n.Retries)
	m.assignments("environment", n.Environment)
	m.text("code", n.Code, "")
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(m.node()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// mapping is a YAML mapping in the order in which it is filled.
type mapping struct {
	content []*yaml.Node
	flow    bool // on one line
}

func (m *mapping) add(key string, value *yaml.Node) {
	m.content = append(m.content, scalar(key, "!!str"), value)
}

// text adds a text, unless it is the default.
func (m *mapping) text(key, value, standard string) {
	if value == standard {
		return
	}
	v := scalar(value, "!!str")
	switch {
	case !strings.Contains(value, "\n"):
	case beginsBlank.MatchString(value):
		v.Style = yaml.DoubleQuotedStyle
	default:
		v.Style = yaml.LiteralStyle
	}
	m.add(key, v)
}

// beginsBlank matches texts with lines that the literal style of YAML would not
// give back, as it tells the indentation by how lines begin.
var beginsBlank = regexp.MustCompile(`^\s|(?m:^[\t ]+$)`)

func (m *mapping) number(key string, n int32) {
	if n != 0 {
		m.add(key, scalar(strconv.Itoa(int(n)), "!!int"))
	}
}

func (m *mapping) assignments(key string, all []*wire.Assignment) {
	inner := &mapping{}
	for _, a := range all {
		inner.add(a.Name, scalar(a.Value, "!!str"))
	}
	m.mapping(key, inner)
}

func (m *mapping) mapping(key string, inner *mapping) {
	if len(inner.content) > 0 {
		m.add(key, inner.node())
	}
}

func (m *mapping) upstreams(all []*wire.Upstream) {
	if len(all) == 0 {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, u := range all {
		list.Content = append(list.Content, scalar(u.Node, "!!str"))
	}
	m.add("upstreams", list)
}

func (m *mapping) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Content: m.content}
	if m.flow {
		n.Style = yaml.FlowStyle
	}
	return n
}

func scalar(text, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}
