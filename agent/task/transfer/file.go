package transfer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// The formats of files.
const (
	formatCSV     = "csv"
	formatJSONL   = "jsonl"
	formatParquet = "parquet"
)

// byName tells the format by the end of a file's name.
var byName = map[string]string{
	".csv": formatCSV, ".tsv": formatCSV, ".jsonl": formatJSONL, ".ndjson": formatJSONL, ".json": formatJSONL, ".parquet": formatParquet,
}

// openFile opens a file in the format that the node or its name says. Texts may
// be packed with gzip.
func openFile(path string, from *wire.IntegrationSource) (reader, error) {
	name, packed := strings.CutSuffix(strings.ToLower(path), ".gz")
	format := from.Format
	if format == "" {
		format = byName[filepath.Ext(name)]
	}
	if format == "" {
		return nil, fault.Field("integration.from.format", "the name of %s does not tell its format: expected csv, jsonl or parquet here", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "a source file cannot be opened")
	}
	r, err := readAs(format, f, path, name, packed, from)
	if err != nil {
		_ = f.Close()
		return nil, fault.Wrap(err, fault.Invalid, "%s", path)
	}
	return r, nil
}

func readAs(format string, f *os.File, path, name string, packed bool, from *wire.IntegrationSource) (reader, error) {
	if format == formatParquet {
		return newParquetReader(f, path)
	}
	lines, err := newTextFile(f, path, packed)
	if err != nil {
		return nil, err
	}
	switch format {
	case formatJSONL:
		return newJSONLReader(lines)
	case formatCSV:
		delimiter := from.Delimiter
		if delimiter == "" && filepath.Ext(name) == ".tsv" {
			delimiter = "\t"
		}
		return newCSVReader(lines, delimiter, from.NoHeader, from.NullText)
	default:
		return nil, fault.Field("integration.from.format", "%q is no format: expected csv, jsonl or parquet", format)
	}
}

// maxRecord is how much of a text may be one row. A quote that is never closed
// would otherwise take the rest of the file into memory.
const maxRecord = 64 << 20

// textFile is a file of text, in UTF-8 and without its mark at the beginning.
type textFile struct {
	path string
	file *os.File
	in   *bufio.Reader
	left int // of the record that is being read
}

func newTextFile(f *os.File, path string, packed bool) (*textFile, error) {
	const buffer = 256 << 10
	t := &textFile{path: path, file: f, in: bufio.NewReaderSize(f, buffer), left: maxRecord}
	if packed {
		unpacked, err := gzip.NewReader(t.in)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "it is not packed as its name says, with gzip")
		}
		t.in = bufio.NewReaderSize(unpacked, buffer)
	}
	mark, err := t.in.Peek(3)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case bytes.HasPrefix(mark, []byte{0xef, 0xbb, 0xbf}):
		_, err := t.in.Discard(3)
		return t, err
	case bytes.HasPrefix(mark, []byte{0xff, 0xfe}), bytes.HasPrefix(mark, []byte{0xfe, 0xff}):
		return nil, fault.New(fault.Invalid, "it begins like UTF-16: expected UTF-8; convert it, as by iconv")
	}
	return t, nil
}

// Read implements io.Reader for one record after another.
func (t *textFile) Read(b []byte) (int, error) {
	if t.left <= 0 {
		return 0, fault.New(fault.TooLarge, "%s: a row goes on for more than %d bytes: is a quote or the end of a line missing?", t.path, maxRecord)
	}
	n, err := t.in.Read(b)
	t.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		err = fault.Wrap(err, fault.Unavailable, "%s cannot be read to its end", t.path)
	}
	return n, err
}

// record begins a new one.
func (t *textFile) record() { t.left = maxRecord }

func (t *textFile) close() error { return t.file.Close() }
