package executor

import (
	"cmp"
	"errors"
	"sync"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/attempt"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// compiled remembers texts as they were read: most attempts have one that an
// earlier one had.
type compiled struct {
	mu    sync.Mutex
	codes map[source]*params.Code
}

// source is all that compiling depends on.
type source struct {
	dialect     params.Dialect
	text, names string
	shell       bool
}

// mostCompiled bounds the texts kept. When it is reached all go: compiling is
// cheap, keeping books on use is not.
const mostCompiled = 1024

func (c *compiled) code(dialect params.Dialect, t node.Text, values []params.Assignment) (*params.Code, error) {
	from := source{dialect: dialect, text: *t.Value, shell: t.Shell}
	for i := range values {
		from.names += values[i].Name + "\x00"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if code := c.codes[from]; code != nil {
		return code, nil
	}
	names := make([]string, len(values))
	for i := range values {
		names[i] = values[i].Name
	}
	code, _, err := t.Compile(dialect, names)
	if err != nil {
		return nil, err
	}
	if c.codes == nil || len(c.codes) >= mostCompiled {
		c.codes = map[source]*params.Code{}
	}
	c.codes[from] = code
	return code, nil
}

// instance is of what a text of its node is expanded.
type instance struct {
	node    string
	dialect params.Dialect
	context params.Context
	values  []params.Assignment
}

func instanceOf(d *wire.Definition, w *wire.Work) instance {
	key := attempt.KeyOf(w.Ref)
	i := instance{
		node:    d.Node.Id,
		dialect: cmp.Or(params.Dialect(d.Node.Dialect), params.DataWorks),
		context: params.Context{
			Data:       calendar.Date(w.DataTimestamp),
			Scheduled:  calendar.Wall{Date: calendar.Date(w.ScheduledDate), Clock: calendar.Clock(w.ScheduledClock)},
			Generated:  calendar.Date(d.Generated),
			PlanID:     PlanName(key),
			NodeID:     d.Node.Id,
			InstanceID: InstanceName(key),
		},
		values: make([]params.Assignment, len(w.Values)),
	}
	for n, v := range w.Values {
		i.values[n] = params.Assignment{Name: v.Name, Value: v.Value}
	}
	return i
}

func (c *Common) expand(i *instance, t node.Text) (string, error) {
	code, err := c.texts.code(i.dialect, t, i.values)
	if err == nil {
		var text string
		if text, err = code.Expand(i.context, i.values); err == nil {
			return text, nil
		}
	}
	var e *fault.Error
	if errors.As(err, &e) { // with its findings once
		return "", fault.New(e.Code, "node %q: %s: %s", i.node, t.Field, e.Message).WithDetails(e.Details...)
	}
	return "", fault.Wrap(err, fault.Invalid, "node %q: %s", i.node, t.Field)
}

// Code is the code of an attempt of a node that has no other texts.
func (c *Common) Code(d *wire.Definition, w *wire.Work) (string, error) {
	texts := node.Texts(d.Node)
	if len(texts) == 0 {
		return "", nil
	}
	i := instanceOf(d, w)
	return c.expand(&i, texts[0])
}

// Node is the node of an attempt, with every text expanded. The definition's own
// stays as it is: it is for all of its attempts.
func (c *Common) Node(d *wire.Definition, w *wire.Work) (*wire.Node, error) {
	spec, i := proto.CloneOf(d.Node), instanceOf(d, w)
	for _, t := range node.Texts(spec) {
		text, err := c.expand(&i, t)
		if err != nil {
			return nil, err
		}
		*t.Value = text
	}
	return spec, nil
}

// Arguments are what code sees as $1, $2, …: the values of the parameters.
func Arguments(w *wire.Work) []string {
	list := make([]string, len(w.Values))
	for i, v := range w.Values {
		list[i] = v.Value
	}
	return list
}
