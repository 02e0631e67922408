package node

import (
	"go.yaml.in/yaml/v3"

	"backfleet/pkg/wire"
)

// The blocks of the file format that belong to some types of nodes only.
var (
	pythonShape = shape{fields: []field{
		{"interpreter", textField(func(n *wire.Node) *string { return &n.Python.Interpreter })},
		{"venv", textField(func(n *wire.Node) *string { return &n.Python.Venv })},
		{"arguments", listField("texts", func(n *wire.Node) *[]string { return &n.Python.Arguments })},
	}}
	sqlShape = shape{fields: []field{
		{"transaction", boolField(func(d *document) *bool { return &d.node.Sql.Transaction })},
		{"maxRows", numberField(func(n *wire.Node) *uint32 { return &n.Sql.MaxRows })},
	}}
	httpShape = shape{fields: []field{
		{"method", textField(func(n *wire.Node) *string { return &n.Http.Method })},
		{"url", textField(func(n *wire.Node) *string { return &n.Http.Url })},
		{"headers", valuesField(func(n *wire.Node) *[]*wire.Assignment { return &n.Http.Headers })},
		{"body", inlineField(func(n *wire.Node) *string { return &n.Http.Body })},
		{"bodyFile", fileField(func(n *wire.Node) *string { return &n.Http.Body })},
		{"expect", (*document).expect},
		{"retries", numberField(func(n *wire.Node) *int32 { return &n.Http.Retries })},
		{"backoff", durationField(func(n *wire.Node) *int64 { return &n.Http.BackoffMs })},
		{"timeout", durationField(func(n *wire.Node) *int64 { return &n.Http.TimeoutMs })},
		{"maxResponse", sizeField(func(n *wire.Node) *int64 { return &n.Http.MaxResponseBytes })},
	}}
	checkShape = shape{fields: []field{
		{"rows", optionalField(wholeNumber[int64], func(n *wire.Node) **int64 { return &n.Check.Rows })},
		{"minRows", optionalField(wholeNumber[int64], func(n *wire.Node) **int64 { return &n.Check.MinRows })},
		{"maxRows", optionalField(wholeNumber[int64], func(n *wire.Node) **int64 { return &n.Check.MaxRows })},
		{"value", optionalField((*document).text, func(n *wire.Node) **string { return &n.Check.Value })},
		{"min", optionalField((*document).text, func(n *wire.Node) **string { return &n.Check.Min })},
		{"max", optionalField((*document).text, func(n *wire.Node) **string { return &n.Check.Max })},
	}}
	integrationShape = shape{fields: []field{
		{"from", blockField(func(n *wire.Node) { n.Integration.From = &wire.IntegrationSource{} }, fromShape)},
		{"to", blockField(func(n *wire.Node) { n.Integration.To = &wire.IntegrationTarget{} }, toShape)},
		{"columns", (*document).columns},
		{"batch", numberField(func(n *wire.Node) *uint32 { return &n.Integration.Batch })},
		{"maxRejected", numberField(func(n *wire.Node) *int64 { return &n.Integration.MaxRejected })},
		{"rejectedFile", textField(func(n *wire.Node) *string { return &n.Integration.RejectedFile })},
	}}
	fromShape = shape{fields: []field{
		{"source", textField(func(n *wire.Node) *string { return &n.Integration.From.Source })},
		{"query", inlineField(func(n *wire.Node) *string { return &n.Integration.From.Query })},
		{"queryFile", fileField(func(n *wire.Node) *string { return &n.Integration.From.Query })},
		{"files", textField(func(n *wire.Node) *string { return &n.Integration.From.Files })},
		{"format", textField(func(n *wire.Node) *string { return &n.Integration.From.Format })},
		{"delimiter", textField(func(n *wire.Node) *string { return &n.Integration.From.Delimiter })},
		{"noHeader", boolField(func(d *document) *bool { return &d.node.Integration.From.NoHeader })},
		{"mayBeEmpty", boolField(func(d *document) *bool { return &d.node.Integration.From.MayBeEmpty })},
		{"nullText", textField(func(n *wire.Node) *string { return &n.Integration.From.NullText })},
	}}
	toShape = shape{fields: []field{
		{"source", textField(func(n *wire.Node) *string { return &n.Integration.To.Source })},
		{"table", textField(func(n *wire.Node) *string { return &n.Integration.To.Table })},
		{"partition", valuesField(func(n *wire.Node) *[]*wire.Assignment { return &n.Integration.To.Partition })},
		{"folder", textField(func(n *wire.Node) *string { return &n.Integration.To.Folder })},
		{"format", textField(func(n *wire.Node) *string { return &n.Integration.To.Format })},
		{"create", boolField(func(d *document) *bool { return &d.node.Integration.To.Create })},
	}}
	columnShape = shape{fields: []field{
		{"name", textField(func(n *wire.Node) *string { return &last(n.Integration.Columns).Name })},
		{"from", textField(func(n *wire.Node) *string { return &last(n.Integration.Columns).From })},
		{"type", textField(func(n *wire.Node) *string { return &last(n.Integration.Columns).Type })},
		{"format", textField(func(n *wire.Node) *string { return &last(n.Integration.Columns).Format })},
		{"required", boolField(func(d *document) *bool { return &last(d.node.Integration.Columns).Required })},
	}}
	logicalShape = shape{fields: []field{
		{"table", textField(func(n *wire.Node) *string { return &n.Logical.Table })},
		{"sourceTable", textField(func(n *wire.Node) *string { return &n.Logical.SourceTable })},
		{"partition", textField(func(n *wire.Node) *string { return &n.Logical.Partition })},
		{"partitionValue", textField(func(n *wire.Node) *string { return &n.Logical.PartitionValue })},
		{"fields", (*document).logicalFields},
		{"units", (*document).units},
	}}
	logicalFieldShape = shape{fields: []field{
		{"name", textField(func(n *wire.Node) *string { return &last(n.Logical.Fields).Name })},
		{"type", textField(func(n *wire.Node) *string { return &last(n.Logical.Fields).Type })},
		{"primaryKey", boolField(func(d *document) *bool { return &last(d.node.Logical.Fields).PrimaryKey })},
		{"description", textField(func(n *wire.Node) *string { return &last(n.Logical.Fields).Description })},
	}}
	unitShape = shape{fields: []field{
		{"id", textField(func(n *wire.Node) *string { return &last(n.Logical.Units).Id })},
		{"code", inlineField(func(n *wire.Node) *string { return &last(n.Logical.Units).Code })},
		{"codeFile", fileField(func(n *wire.Node) *string { return &last(n.Logical.Units).Code })},
		{"fields", listField("names of fields", func(n *wire.Node) *[]string { return &last(n.Logical.Units).Fields })},
		{"upstreams", listField("node ids", func(n *wire.Node) *[]string { return &last(n.Logical.Units).Upstreams })},
	}}
)

// blockField reads a mapping into a part of the node that begin makes.
func blockField(begin func(*wire.Node), s shape) func(*document, value) {
	return func(d *document, v value) {
		begin(d.node)
		d.mapping(v, s)
	}
}

// optionalField reads what means something else when it is left out than when it
// is 0 or empty.
func optionalField[T any](read func(*document, value) (T, bool), of func(*wire.Node) **T) func(*document, value) {
	return func(d *document, v value) {
		if x, ok := read(d, v); ok {
			*of(d.node) = &x
		}
	}
}

func (d *document) expect(v value) {
	for _, item := range d.items(v, "status codes") {
		d.at(item.path, item)
		status, _ := wholeNumber[int32](d, item)
		d.node.Http.Expect = append(d.node.Http.Expect, status)
	}
}

// columns are names, or mappings where there is more to say.
func (d *document) columns(v value) {
	for _, item := range d.items(v, "columns") {
		d.at(item.path, item)
		column := &wire.Column{}
		d.node.Integration.Columns = append(d.node.Integration.Columns, column)
		if item.Kind == yaml.MappingNode {
			d.mapping(item, columnShape)
		} else {
			column.Name, _ = d.text(item)
		}
	}
}

func (d *document) logicalFields(v value) {
	for _, item := range d.items(v, "fields") {
		d.at(item.path, item)
		d.node.Logical.Fields = append(d.node.Logical.Fields, &wire.LogicalField{})
		d.mapping(item, logicalFieldShape)
	}
}

func (d *document) units(v value) {
	for _, item := range d.items(v, "units") {
		d.at(item.path, item)
		d.node.Logical.Units = append(d.node.Logical.Units, &wire.Unit{})
		d.mapping(item, unitShape)
	}
}
