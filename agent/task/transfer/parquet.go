package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// parquetReader reads the flat columns of a Parquet file, a row group after
// another.
type parquetReader struct {
	path   string
	file   *os.File
	groups []parquet.RowGroup
	leaves
	rows   parquet.Rows // of the group that is being read
	buffer []parquet.Row
	ready  []parquet.Row
	ended  bool    // the group, after those that are ready
	places [][]int // by leaf: the cells that take it
	count  int     // of cells
	at     int64
}

// leaves are the columns of a file.
type leaves struct {
	list []field
	leaf []int                     // of each field, -1 of one that is a group or a list
	read []func(parquet.Value) any // by leaf
}

func newParquetReader(f *os.File, path string) (r *parquetReader, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r = &parquetReader{path: path, file: f, buffer: make([]parquet.Row, rowsAtOnce)}
	err = guarded(func() error {
		p, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(256<<10))
		if err != nil {
			return err
		}
		r.groups = p.RowGroups()
		r.leaves = leavesOf(p.Root())
		return nil
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "it is no Parquet file that can be read")
	}
	return r, nil
}

// guarded makes errors of what the library does about damaged files.
func guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Invalid, "the file is damaged: %v", p)
		}
	}()
	return do()
}

func leavesOf(root *parquet.Column) (c leaves) {
	for _, col := range root.Columns() {
		if !col.Leaf() || col.Repeated() {
			c.list, c.leaf = append(c.list, field{name: col.Name(), kind: foreign}), append(c.leaf, -1)
			continue
		}
		k, read := valuesOf(col.Type())
		c.list, c.leaf = append(c.list, field{name: col.Name(), kind: k}), append(c.leaf, col.Index())
		for len(c.read) <= col.Index() {
			c.read = append(c.read, nil)
		}
		c.read[col.Index()] = read
	}
	return c
}

// valuesOf tells how the values of a column are read. Bytes that no type says
// anything of are taken for text.
func valuesOf(t parquet.Type) (kind, func(parquet.Value) any) {
	if l := t.LogicalType(); l != nil {
		switch l := l.Value.(type) {
		case *format.DecimalType:
			return decimal, func(v parquet.Value) any { return scaled(unscaledOf(v), int(l.Scale)) }
		case *format.DateType:
			return date, func(v parquet.Value) any { return calendar.Date(v.Int32()) }
		case *format.TimestampType:
			unit := l.Unit.Value.Duration()
			return timestamp, func(v parquet.Value) any { return microsOf(v.Int64(), unit) }
		case *format.TimeType:
			unit := l.Unit.Value.Duration()
			return text, func(v parquet.Value) any { return timeOfDay(intOf(v), unit) }
		case *format.JsonType:
			return document, func(v parquet.Value) any { return json.RawMessage(append([]byte(nil), v.ByteArray()...)) }
		case *format.UUIDType:
			return text, func(v parquet.Value) any {
				b := v.ByteArray()
				return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
			}
		case *format.BsonType, *format.Float16Type, *format.GeometryType, *format.GeographyType:
			return foreign, nil
		case *format.IntType:
			if !l.IsSigned {
				return integer, unsigned
			}
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return boolean, func(v parquet.Value) any { return v.Boolean() }
	case parquet.Int32, parquet.Int64:
		return integer, func(v parquet.Value) any { return intOf(v) }
	case parquet.Int96:
		return timestamp, func(v parquet.Value) any { return julian(v.Int96()) }
	case parquet.Float:
		return float, func(v parquet.Value) any { return float64(v.Float()) }
	case parquet.Double:
		return float, func(v parquet.Value) any { return v.Double() }
	default:
		return text, func(v parquet.Value) any { return string(v.ByteArray()) }
	}
}

func intOf(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func unsigned(v parquet.Value) any {
	if v.Kind() == parquet.Int32 {
		return int64(v.Uint32())
	}
	return number(new(big.Int).SetUint64(v.Uint64()).String())
}

func unscaledOf(v parquet.Value) *big.Int {
	switch v.Kind() {
	case parquet.Int32, parquet.Int64:
		return big.NewInt(intOf(v))
	default:
		return twosComplement(v.ByteArray())
	}
}

// microsOf cuts to the microsecond; what no moment can hold is far from the
// years there are.
func microsOf(n int64, unit time.Duration) moment {
	if unit < time.Microsecond {
		return moment(floorDiv(n, int64(time.Microsecond/unit)))
	}
	by := int64(unit / time.Microsecond)
	if n > math.MaxInt64/by || n < math.MinInt64/by {
		return math.MaxInt64
	}
	return moment(n * by)
}

func floorDiv(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

func timeOfDay(n int64, unit time.Duration) string {
	return time.Unix(0, 0).UTC().Add(time.Duration(n) * unit).Format("15:04:05.999999")
}

// julian reads the old form of a timestamp: nanoseconds of a Julian day.
func julian(v deprecated.Int96) moment {
	const epoch = 2_440_588 // 1970-01-01
	nanos := int64(v[1])<<32 | int64(v[0])
	return moment((int64(v[2])-epoch)*microsADay + floorDiv(nanos, 1000))
}

func (r *parquetReader) fields() []field { return r.list }

func (r *parquetReader) bind(names, known []string) error {
	places, err := place(r.list, names, known)
	if err != nil {
		return err
	}
	r.places, r.count = make([][]int, len(r.read)), len(names)
	for cell, at := range places {
		leaf := r.leaf[at]
		r.places[leaf] = append(r.places[leaf], cell)
	}
	return nil
}

func (r *parquetReader) next() (record, error) {
	for len(r.ready) == 0 {
		if err := r.fill(); err != nil {
			return record{}, err
		}
	}
	row := r.ready[0]
	r.ready = r.ready[1:]
	r.at++
	rec := record{cells: make([]any, r.count), file: r.path, unit: "row", at: r.at}
	for _, v := range row {
		leaf := v.Column()
		if leaf >= len(r.places) || len(r.places[leaf]) == 0 || v.IsNull() {
			continue
		}
		value := r.read[leaf](v)
		for _, cell := range r.places[leaf] {
			rec.cells[cell] = value
		}
	}
	return rec, nil
}

// fill reads some rows of the group, or goes to the next one.
func (r *parquetReader) fill() error {
	if r.rows == nil {
		if len(r.groups) == 0 {
			return io.EOF
		}
		r.rows, r.groups, r.ended = r.groups[0].Rows(), r.groups[1:], false
	}
	if r.ended {
		err := r.rows.Close()
		r.rows = nil
		return err
	}
	n := 0
	err := guarded(func() (err error) {
		n, err = r.rows.ReadRows(r.buffer)
		return err
	})
	if r.ready = r.buffer[:n]; errors.Is(err, io.EOF) {
		r.ended = true
		return nil
	}
	if err != nil {
		return fault.Wrap(err, fault.Corrupt, "%s cannot be read on after row %d", r.path, r.at+int64(n))
	}
	return nil
}

func (r *parquetReader) close() error {
	if r.rows != nil {
		_ = r.rows.Close() // it was read
		r.rows = nil
	}
	return r.file.Close()
}

// What Parquet files here hold of a decimal, exactly. Its form wants that said
// before the first row is known.
const (
	decimalDigits = 38
	decimalScale  = 18
	decimalBytes  = 16
)

var decimalLimit = new(big.Int).Exp(big.NewInt(10), big.NewInt(decimalDigits), nil)

// rowGroupBytes is how much text goes into one row group, which is in memory
// until it is written.
const rowGroupBytes = 64 << 20

// parquetWriter writes a Parquet file with a column of its type for each.
type parquetWriter struct {
	counter
	columns []column
	writer  *parquet.GenericWriter[any]
	rows    []parquet.Row
	held    int // bytes of the row group
	text    []byte
}

func newParquetWriter(columns []column, to io.Writer) (*parquetWriter, error) {
	if len(columns) == 0 {
		return nil, fault.Field("integration.columns", "a Parquet file has columns, and there is no row that tells which: list them")
	}
	w := &parquetWriter{counter: counter{to: to}, columns: columns}
	w.writer = parquet.NewGenericWriter[any](&w.counter, schemaOf(columns), parquet.Compression(&parquet.Snappy))
	return w, nil
}

// ordered is a group whose fields stand in the order of the columns.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

// Fields implements parquet.Node.
func (o ordered) Fields() []parquet.Field { return o.fields }

func schemaOf(columns []column) *parquet.Schema {
	o := ordered{Group: parquet.Group{}}
	for _, c := range columns {
		o.Group[c.name] = parquet.Optional(nodeOf(c.kind))
	}
	byName := map[string]parquet.Field{}
	for _, f := range o.Group.Fields() {
		byName[f.Name()] = f
	}
	for _, c := range columns {
		o.fields = append(o.fields, byName[c.name])
	}
	return parquet.NewSchema("rows", o)
}

func nodeOf(k kind) parquet.Node {
	switch k {
	case integer:
		return parquet.Int(64)
	case decimal:
		return parquet.Decimal(decimalScale, decimalDigits, parquet.FixedLenByteArrayType(decimalBytes))
	case float:
		return parquet.Leaf(parquet.DoubleType)
	case boolean:
		return parquet.Leaf(parquet.BooleanType)
	case date:
		return parquet.Date()
	case timestamp:
		return parquet.TimestampAdjusted(parquet.Microsecond, false)
	case document:
		return parquet.JSON()
	default:
		return parquet.String()
	}
}

func (w *parquetWriter) add(values []any) error {
	row := make(parquet.Row, len(values))
	for i, v := range values {
		if v == nil {
			row[i] = parquet.NullValue().Level(0, 0, i)
			continue
		}
		p, why := toParquet(v)
		if why != "" {
			return refuse("column %q: %s", w.columns[i].name, why)
		}
		row[i] = p.Level(0, 1, i)
		w.text = appendText(w.text[:0], v)
		w.held += len(w.text)
	}
	if w.rows = append(w.rows, row); len(w.rows) < rowsAtOnce {
		return nil
	}
	return w.flush(w.held > rowGroupBytes)
}

// size counts the row group that is in memory as if it were not packed.
func (w *parquetWriter) size() int64 { return w.n + int64(w.held) }

// rowsAtOnce is how many rows the library takes at once.
const rowsAtOnce = 64

func (w *parquetWriter) flush(group bool) error {
	_, err := w.writer.WriteRows(w.rows)
	w.rows = w.rows[:0]
	if err == nil && group {
		w.held = 0
		err = w.writer.Flush()
	}
	return err
}

func toParquet(v any) (parquet.Value, refusal) {
	switch v := v.(type) {
	case string:
		return parquet.ByteArrayValue([]byte(v)), ""
	case jsonText:
		return parquet.ByteArrayValue([]byte(v)), ""
	case int64:
		return parquet.Int64Value(v), ""
	case float64:
		return parquet.DoubleValue(v), ""
	case bool:
		return parquet.BooleanValue(v), ""
	case calendar.Date:
		return parquet.Int32Value(int32(v)), ""
	case moment:
		return parquet.Int64Value(int64(v)), ""
	case number:
		n, ok := v.unscaled(decimalScale)
		if !ok || n.CmpAbs(decimalLimit) >= 0 {
			return parquet.Value{}, refuse("%s has more than %d digits before the point or %d after it: Parquet files hold it as text only", quote(string(v)),
				decimalDigits-decimalScale, decimalScale)
		}
		return parquet.FixedLenByteArrayValue(appendTwosComplement(nil, n, decimalBytes)), ""
	default:
		return parquet.Value{}, refuse("no type of Parquet holds %T", v)
	}
}

func (w *parquetWriter) close() error {
	if err := w.flush(false); err != nil {
		return err
	}
	return w.writer.Close()
}
