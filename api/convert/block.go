package convert

import (
	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

// The blocks of a node that belong to some types only: the same in both models,
// but for their names.

// blocks writes them.
func blocks(out *v1.Node, n *wire.Node) {
	out.Source = n.Source
	if p := n.Python; p != nil {
		out.Python = &v1.PythonOptions{Interpreter: p.Interpreter, Venv: p.Venv, Arguments: p.Arguments}
	}
	if s := n.Sql; s != nil {
		out.SQL = &v1.SQLOptions{Transaction: s.Transaction, MaxRows: s.MaxRows}
	}
	if h := n.Http; h != nil {
		out.HTTP = &v1.HTTPRequest{
			Method: h.Method, URL: h.Url, Headers: Assignments(h.Headers), Body: h.Body, Expect: h.Expect, Retries: h.Retries,
			BackoffMs: h.BackoffMs, TimeoutMs: h.TimeoutMs, MaxResponseBytes: h.MaxResponseBytes,
		}
	}
	if c := n.Check; c != nil {
		out.Check = &v1.Expectation{Rows: c.Rows, MinRows: c.MinRows, MaxRows: c.MaxRows, Value: c.Value, Min: c.Min, Max: c.Max}
	}
	if i := n.Integration; i != nil {
		out.Integration = integration(i)
	}
	if l := n.Logical; l != nil {
		out.Logical = logical(l)
	}
}

// readBlocks reads them.
func readBlocks(out *wire.Node, n *v1.Node) {
	out.Source = n.Source
	if p := n.Python; p != nil {
		out.Python = &wire.Python{Interpreter: p.Interpreter, Venv: p.Venv, Arguments: p.Arguments}
	}
	if s := n.SQL; s != nil {
		out.Sql = &wire.Sql{Transaction: s.Transaction, MaxRows: s.MaxRows}
	}
	if h := n.HTTP; h != nil {
		out.Http = &wire.Http{
			Method: h.Method, Url: h.URL, Headers: readAssignments(h.Headers), Body: h.Body, Expect: h.Expect, Retries: h.Retries,
			BackoffMs: h.BackoffMs, TimeoutMs: h.TimeoutMs, MaxResponseBytes: h.MaxResponseBytes,
		}
	}
	if c := n.Check; c != nil {
		out.Check = &wire.Check{Rows: c.Rows, MinRows: c.MinRows, MaxRows: c.MaxRows, Value: c.Value, Min: c.Min, Max: c.Max}
	}
	if i := n.Integration; i != nil {
		out.Integration = readIntegration(i)
	}
	if l := n.Logical; l != nil {
		out.Logical = readLogical(l)
	}
}

func integration(i *wire.Integration) *v1.Integration {
	out := &v1.Integration{Batch: i.Batch, MaxRejected: i.MaxRejected, RejectedFile: i.RejectedFile}
	if f := i.From; f != nil {
		out.From = &v1.IntegrationSource{
			Source: f.Source, Query: f.Query, Files: f.Files, Format: f.Format, Delimiter: f.Delimiter,
			NoHeader: f.NoHeader, MayBeEmpty: f.MayBeEmpty, NullText: f.NullText,
		}
	}
	if t := i.To; t != nil {
		out.To = &v1.IntegrationTarget{
			Source: t.Source, Table: t.Table, Partition: Assignments(t.Partition), Folder: t.Folder, Format: t.Format, Create: t.Create,
		}
	}
	for _, c := range i.Columns {
		out.Columns = append(out.Columns, v1.Column{Name: c.Name, From: c.From, Type: c.Type, Format: c.Format, Required: c.Required})
	}
	return out
}

func readIntegration(i *v1.Integration) *wire.Integration {
	out := &wire.Integration{Batch: i.Batch, MaxRejected: i.MaxRejected, RejectedFile: i.RejectedFile}
	if f := i.From; f != nil {
		out.From = &wire.IntegrationSource{
			Source: f.Source, Query: f.Query, Files: f.Files, Format: f.Format, Delimiter: f.Delimiter,
			NoHeader: f.NoHeader, MayBeEmpty: f.MayBeEmpty, NullText: f.NullText,
		}
	}
	if t := i.To; t != nil {
		out.To = &wire.IntegrationTarget{
			Source: t.Source, Table: t.Table, Partition: readAssignments(t.Partition), Folder: t.Folder, Format: t.Format, Create: t.Create,
		}
	}
	for _, c := range i.Columns {
		out.Columns = append(out.Columns, &wire.Column{Name: c.Name, From: c.From, Type: c.Type, Format: c.Format, Required: c.Required})
	}
	return out
}

func logical(l *wire.Logical) *v1.LogicalTable {
	out := &v1.LogicalTable{Table: l.Table, SourceTable: l.SourceTable, Partition: l.Partition, PartitionValue: l.PartitionValue}
	for _, f := range l.Fields {
		out.Fields = append(out.Fields, v1.LogicalField{Name: f.Name, Type: f.Type, PrimaryKey: f.PrimaryKey, Description: f.Description})
	}
	for _, u := range l.Units {
		out.Units = append(out.Units, v1.LogicalUnit{ID: u.Id, Code: u.Code, Fields: u.Fields, Upstreams: u.Upstreams})
	}
	return out
}

func readLogical(l *v1.LogicalTable) *wire.Logical {
	out := &wire.Logical{Table: l.Table, SourceTable: l.SourceTable, Partition: l.Partition, PartitionValue: l.PartitionValue}
	for _, f := range l.Fields {
		out.Fields = append(out.Fields, &wire.LogicalField{Name: f.Name, Type: f.Type, PrimaryKey: f.PrimaryKey, Description: f.Description})
	}
	for _, u := range l.Units {
		out.Units = append(out.Units, &wire.Unit{Id: u.ID, Code: u.Code, Fields: u.Fields, Upstreams: u.Upstreams})
	}
	return out
}
