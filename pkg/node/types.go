package node

import (
	"cmp"
	"fmt"
	"slices"

	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// The types of nodes: what a node does and what runs it (RULES R12).
const (
	Shell            = "shell"
	Python           = "python"
	SQL              = "sql"
	HTTP             = "http"
	Check            = "check"
	Integration      = "integration"
	LogicalDimension = "logical_dimension"
	LogicalFact      = "logical_fact"
	LogicalAggregate = "logical_aggregate"
	Virtual          = "virtual"
)

// LabelPrefix begins the names of the labels that agents give themselves:
// LabelPrefix plus a type is "true" on an agent that can run it.
const LabelPrefix = "backfleet/"

// Requires is all that a node asks of the labels of its agent: its own
// `requires` and, beyond shell, that the agent can run its type (RULES R7.7).
func Requires(spec *wire.Node) []*wire.Assignment {
	if spec.Type == "" || spec.Type == Shell || spec.Type == Virtual {
		return spec.Requires
	}
	return append(slices.Clip(spec.Requires), &wire.Assignment{Name: LabelPrefix + spec.Type, Value: "true"})
}

// Sources are the names of the data sources that a node uses, sorted.
func Sources(spec *wire.Node) []string {
	var names []string
	for _, name := range []string{spec.Source, spec.Integration.GetFrom().GetSource(), spec.Integration.GetTo().GetSource()} {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Text is one text of a node in which scheduling parameters may stand.
type Text struct {
	Field string  // its path in the spec: logical.units[0].code
	Value *string // its place in the spec
	Shell bool    // ${HOME} and the like are the language's own and stay

	most int // bytes
}

// Compile reads the text as code; names are the assigned parameters, DataWorks
// the dialect if none is given. Findings are those of params.CompileCode.
func (t Text) Compile(dialect params.Dialect, names []string) (*params.Code, []params.Warning, error) {
	language := SQL
	if t.Shell {
		language = Shell
	}
	return params.CompileCode(cmp.Or(dialect, params.DataWorks), language, *t.Value, names)
}

// Texts are the texts of a node in which scheduling parameters may stand, those
// that are empty left out. Who writes to a Value changes the spec: an executor
// expands them in a clone.
func Texts(spec *wire.Node) []Text {
	var t texts
	t.code("code", &spec.Code)
	if len(t) > 0 {
		t[0].Shell = spec.Type == "" || spec.Type == Shell || spec.Type == Python || spec.Type == Check && spec.Source == ""
	}
	if p := spec.Python; p != nil {
		t.list("python.arguments", p.Arguments)
	}
	if h := spec.Http; h != nil {
		t.add("http.url", &h.Url)
		t.values("http.headers", h.Headers)
		t.code("http.body", &h.Body)
	}
	if c := spec.Check; c != nil {
		t.add("check.value", c.Value)
		t.add("check.min", c.Min)
		t.add("check.max", c.Max)
	}
	if i := spec.Integration; i != nil {
		t.integration(i)
	}
	if l := spec.Logical; l != nil {
		t.add("logical.partitionValue", &l.PartitionValue)
		for k, u := range l.Units {
			t.code(unitField(k)+".code", &u.Code)
		}
	}
	return t
}

// texts is a list of texts while it is made.
type texts []Text

func (t *texts) add(field string, value *string) { t.bounded(field, value, MaxText) }

// code adds what may be long.
func (t *texts) code(field string, value *string) { t.bounded(field, value, MaxCode) }

func (t *texts) bounded(field string, value *string, most int) {
	if value != nil && *value != "" {
		*t = append(*t, Text{Field: field, Value: value, most: most})
	}
}

func (t *texts) list(field string, values []string) {
	for i := range values {
		t.add(fmt.Sprintf("%s[%d]", field, i), &values[i])
	}
}

func (t *texts) values(field string, values []*wire.Assignment) {
	for _, a := range values {
		t.add(join(field, clip(a.Name)), &a.Value)
	}
}

func (t *texts) integration(i *wire.Integration) {
	if from := i.From; from != nil {
		t.code("integration.from.query", &from.Query)
		t.add("integration.from.files", &from.Files)
	}
	if to := i.To; to != nil {
		t.add("integration.to.table", &to.Table)
		t.values("integration.to.partition", to.Partition)
		t.add("integration.to.folder", &to.Folder)
	}
	t.add("integration.rejectedFile", &i.RejectedFile)
}

// unitField is the path of a unit of a logical table.
func unitField(k int) string { return fmt.Sprintf("logical.units[%d]", k) }
