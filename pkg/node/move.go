package node

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// What nodes of type integration say: from where, to where, which columns.

// Limits of these.
const (
	MaxColumns          = 1000
	MaxPartitionColumns = 16
	MaxBatch            = 100_000       // rows
	MaxRejected         = 1_000_000_000 // rows
)

// fileFormats are those that files may have.
var fileFormats = []string{"csv", "jsonl", "parquet"}

func (c *checker) integration() {
	i := c.spec.Integration
	c.from(i.From)
	c.to(i.To)
	c.columns(i)
	if i.Batch > MaxBatch {
		c.refuse("integration.batch", "%d rows: expected 1 to %d, or 0 for the default", i.Batch, MaxBatch)
	}
	c.span("integration.maxRejected", i.MaxRejected, MaxRejected, " rows")
	c.path("integration.rejectedFile", i.RejectedFile)
}

// given is a field of a block and whether it says something.
type given struct {
	name string
	set  bool
}

// none refuses fields that mean nothing beside another.
func (c *checker) none(block, why string, fields ...given) {
	for _, f := range fields {
		if f.set {
			c.refuse(block+"."+f.name, "%s: take it out", why)
		}
	}
}

func (c *checker) from(f *wire.IntegrationSource) {
	const at = "integration.from"
	switch {
	case f == nil || f.Source == "" && f.Query == "" && f.Files == "":
		c.refuse(at, "it does not say where the rows come from: expected source and query, or files")
	case f.Source != "" || f.Query != "":
		c.query(f)
	default:
		c.path(at+".files", f.Files)
		c.fileFormat(at+".format", f.Format)
		if f.Format != "" && f.Format != "csv" {
			c.none(at, "only csv has it", given{"delimiter", f.Delimiter != ""}, given{"noHeader", f.NoHeader}, given{"nullText", f.NullText != ""})
			return
		}
		if d := f.Delimiter; d != "" && (utf8.RuneCountInString(d) != 1 || strings.ContainsAny(d, "\"\r\n") || d == "\ufffd") {
			c.refuse(at+".delimiter", `%q: expected one character that is no quote and no end of a line, such as ";" or "\t"`, clip(d))
		}
		c.text(at+".nullText", f.NullText, MaxName)
	}
}

// query checks a source that is a query on a data source.
func (c *checker) query(f *wire.IntegrationSource) {
	const at = "integration.from"
	switch {
	case f.Source == "":
		c.refuse(at+".source", "it is missing: expected the data source that the query asks")
	case f.Query == "":
		c.refuse(at+".query", "it is empty: expected query, or queryFile with the name of a file")
	}
	if f.Source != "" {
		c.sourceName(at+".source", f.Source)
	}
	c.none(at, "a query is no file", given{"files", f.Files != ""}, given{"format", f.Format != ""}, given{"delimiter", f.Delimiter != ""},
		given{"noHeader", f.NoHeader}, given{"mayBeEmpty", f.MayBeEmpty}, given{"nullText", f.NullText != ""})
}

func (c *checker) to(t *wire.IntegrationTarget) {
	const at = "integration.to"
	switch {
	case t == nil || t.Source == "" && t.Table == "" && t.Folder == "":
		c.refuse(at, "it does not say where the rows go to: expected source and table, or folder")
	case t.Source != "" || t.Table != "":
		if t.Source == "" {
			c.refuse(at+".source", "it is missing: expected the data source that has the table")
		} else {
			c.sourceName(at+".source", t.Source)
		}
		c.table(at+".table", t.Table)
		c.partition(t.Partition)
		c.none(at, "a table is no folder of files", given{"folder", t.Folder != ""}, given{"format", t.Format != ""})
	default:
		c.folder(at+".folder", t.Folder)
		if t.Format == "" {
			c.refuse(at+".format", "it is missing: expected %s", list(fileFormats))
		}
		c.fileFormat(at+".format", t.Format)
		c.none(at, "a folder is one partition, whose value stands in its name", given{"partition", len(t.Partition) > 0})
		c.none(at, "a folder is made by itself", given{"create", t.Create})
	}
}

// table checks the name of a table, before which there may be a schema.
func (c *checker) table(field, name string) {
	parts := strings.Split(around(name), ".")
	if name == "" || len(parts) > 2 || slices.Contains(parts, "") {
		c.refuse(field, "%q: expected the name of a table, or schema.table", clip(name))
		return
	}
	c.label(field, name)
}

func (c *checker) partition(columns []*wire.Assignment) {
	const at = "integration.to.partition"
	if !c.atMost(at, len(columns), MaxPartitionColumns, "columns") {
		return
	}
	seen := map[string]bool{}
	for _, a := range columns {
		field := at + "." + clip(a.Name)
		c.columnName(field, a.Name)
		switch folded := strings.ToLower(a.Name); {
		case seen[folded]:
			c.refuse(field, "it is given twice, upper and lower case alike: expected one value")
		case a.Value == "":
			c.refuse(field, "it is empty: expected the value of the partition, such as ${yyyymmdd}")
		default:
			seen[folded] = true
		}
	}
}

// columns checks which columns are written, and as what.
func (c *checker) columns(i *wire.Integration) {
	if !c.atMost("integration.columns", len(i.Columns), MaxColumns, "columns") {
		return
	}
	seen := map[string]string{}
	for _, a := range i.To.GetPartition() {
		seen[strings.ToLower(a.Name)] = "%q is a column of the partition, whose value is the partition's: take it out"
	}
	for k, column := range i.Columns {
		at := fmt.Sprintf("integration.columns[%d]", k)
		folded := strings.ToLower(column.Name)
		c.columnName(at+".name", column.Name)
		c.label(at+".from", column.From)
		if twice := seen[folded]; twice != "" {
			c.refuse(at+".name", twice, clip(column.Name))
		}
		seen[folded] = "column %q is there already, upper and lower case alike: expected it once"
		if column.Type != "" && !slices.Contains(ColumnTypes, column.Type) {
			c.refuse(at+".type", "%q is no type%s: expected %s", clip(column.Type), didYouMean(column.Type, ColumnTypes), list(ColumnTypes))
		}
		c.layout(at+".format", column)
	}
}

func (c *checker) columnName(field, name string) {
	if name == "" {
		c.refuse(field, "it is empty: expected the name of a column")
	}
	c.label(field, name)
}

// layout checks how a text writes the dates and times of a column.
func (c *checker) layout(field string, column *wire.Column) {
	switch {
	case column.Format == "":
	case column.Type != "date" && column.Type != "timestamp":
		c.refuse(field, "only dates and times have one: take it out, or say type: date or type: timestamp")
	case knownDialect(c.spec.Dialect):
		if _, err := params.ParseLayout(params.Dialect(c.spec.Dialect), column.Format); err != nil {
			c.adopt(field, err)
		}
	}
}

func (c *checker) fileFormat(field, format string) {
	if format != "" && !slices.Contains(fileFormats, format) {
		c.refuse(field, "%q is no format of files%s: expected %s", clip(format), didYouMean(format, fileFormats), list(fileFormats))
	}
}

// path checks where files are, as far as parameters leave it open. An attempt
// works in a folder of its own, which is gone after it.
func (c *checker) path(field, name string) bool {
	switch {
	case name == "":
		return true
	case strings.ContainsAny(name, "\r\n"):
		c.refuse(field, "it has several lines: expected one path")
	case !path.IsAbs(name) && !strings.HasPrefix(name, "$"):
		c.refuse(field, "%q: expected an absolute path on the agent", clip(name))
	default:
		return true
	}
	return false
}

// folder checks the folder of a partition, all of which is replaced.
func (c *checker) folder(field, name string) {
	if !c.path(field, name) {
		return
	}
	rest := strings.TrimSuffix(around(name), "/")
	if rest == "" || slices.Contains(strings.Split(rest, "/"), "..") || path.Dir(rest) == "/" {
		c.refuse(field, "%q would be replaced as a whole: expected a folder of its own, two or more below /, without ..", clip(name))
	}
}
