package node

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// MaxFile is the largest node file, in bytes.
const MaxFile = 1 << 20

// Options are what the reader needs beside the files.
type Options struct {
	// Values are those that `environment: {NAME: {fromApply: VALUE}}` asks
	// for, by name; default none.
	Values map[string]string
}

// Files is what node files said, with the places where they said it.
type Files struct {
	Nodes  []*wire.Node // complete and each checked by Compile, in order of file and line
	places map[string]place
}

// place is where a field stands, and its path there.
type place struct {
	where string // file:line:column
	path  string // the file's own: schedule.hourly.every
}

// Read reads the node files at and below root, a folder or a file of fsys, and
// checks each node by itself: *.yaml and *.yml, several documents a file, in
// lexical order; names that begin with "." are passed over. DESIGN.md is the
// reference of the format. Whether the nodes fit together and with those that
// exist is for Apply to say.
//
// The error has a fault.Detail for each finding, with Where "file:line:column"
// and the field's path. Nothing outside fsys is read.
func Read(fsys fs.FS, root string, o Options) (*Files, []Warning, error) {
	r := &reader{fsys: fsys, values: o.Values, asked: map[string]bool{}, files: &Files{places: map[string]place{}}}
	err := fs.WalkDir(fsys, root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != root && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case !entry.IsDir() && (path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" || name == root):
			r.file(name)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Invalid, "the node files cannot be read")
	}
	if len(r.details) > 0 {
		return nil, nil, problems("the node files", r.details)
	}
	if len(r.files.Nodes) == 0 {
		return nil, nil, fault.New(fault.Invalid, "no node was found: expected *.yaml files with a document for each node")
	}
	for _, name := range slices.Sorted(maps.Keys(o.Values)) {
		if !r.asked[name] {
			r.warnings = append(r.warnings, detail("environment", "a value for %s was given, but no node has fromApply: %s", name, name))
		}
	}
	return r.files, r.warnings, nil
}

// Locate adds file and line to what Apply found. A finding about a node that
// no file defines stays as it is.
func (f *Files) Locate(details []fault.Detail) []fault.Detail {
	located := slices.Clone(details)
	for i, d := range located {
		if p, found := f.find(d.Field); found && d.Where == "" {
			located[i].Where, located[i].Field = p.where, p.path
		}
	}
	return located
}

// find looks for the place of a field or, for one that was left out, of the
// nearest that would hold it; at last the node's.
func (f *Files) find(field string) (place, bool) {
	for there := field; there != ""; there = there[:max(0, strings.LastIndexAny(there, ".["))] {
		if p, ok := f.places[there]; ok {
			p.path = strings.TrimPrefix(p.path+field[len(there):], ".")
			return p, true
		}
	}
	return place{}, false
}

type reader struct {
	fsys     fs.FS
	values   map[string]string
	asked    map[string]bool
	files    *Files
	details  []fault.Detail
	warnings []Warning
}

func (r *reader) refuse(where, format string, args ...any) {
	r.details = append(r.details, fault.Detail{Where: where, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) file(name string) {
	data, err := readLimited(r.fsys, name, MaxFile)
	if err != nil {
		r.refuse(name, "%v", err)
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			r.syntax(name, data, err)
			return
		case len(root.Content) == 1 && root.Content[0].ShortTag() != "!!null":
			r.document(name, data, root.Content[0])
		}
	}
}

var yamlLine = onUse(`^yaml: (?:line (\d+): )?`)

// syntax reports what the YAML library refused. It names a line; the column is
// that of the line's first character.
func (r *reader) syntax(name string, data []byte, err error) {
	where, message := name+":1:1", err.Error()
	if m := yamlLine().FindStringSubmatch(message); m != nil {
		message = message[len(m[0]):]
		if line, _ := strconv.Atoi(m[1]); line > 0 {
			lines := bytes.SplitN(data, []byte("\n"), line+1)
			text := lines[min(line, len(lines))-1]
			where = fmt.Sprintf("%s:%d:%d", name, line, len(text)-len(bytes.TrimLeft(text, " "))+1)
		}
	}
	r.refuse(where, "it is not YAML: %s", message)
}

func (r *reader) document(file string, data []byte, root *yaml.Node) {
	d := &document{reader: r, file: file, data: data, node: &wire.Node{}, places: map[string]place{}, texts: map[string]textStart{}}
	top := value{Node: root}
	d.places[""] = place{where: d.where(root)}
	d.mapping(top, nodeShape)
	if len(d.details) == 0 {
		d.compile()
	}
	slices.SortStableFunc(d.details, func(a, b fault.Detail) int { return compareWhere(a.Where, b.Where) })
	r.details = append(r.details, d.details...)
}

// compile checks a document that was read without findings, and takes it.
func (d *document) compile() {
	d.ofUnits()
	n, warnings, err := Compile(d.node)
	if err != nil {
		d.details = d.locate(err.(*fault.Error).Details)
		return
	}
	id := n.Spec.Id
	if first, twice := d.reader.files.places[nodeField(id, "id")]; twice {
		d.details = append(d.details, d.locate([]fault.Detail{detail("id", "node %q is already defined at %s: an id names one node", id, first.where)})...)
		return
	}
	d.reader.files.Nodes = append(d.reader.files.Nodes, n.Spec)
	d.reader.warnings = append(d.reader.warnings, d.locate(warnings)...)
	for field, p := range d.places {
		d.reader.files.places[strings.TrimSuffix(nodeField(id, field), ".")] = p
	}
}

// ofUnits notes where the upstreams stand that Compile takes over from the units
// of a logical table.
func (d *document) ofUnits() {
	if d.node.Logical == nil {
		return
	}
	filled := proto.CloneOf(d.node)
	fillLogical(filled)
	for k := len(d.node.Upstreams); k < len(filled.Upstreams); k++ {
		for i, u := range d.node.Logical.Units {
			if j := slices.Index(u.Upstreams, filled.Upstreams[k].Node); j >= 0 {
				d.places[upstreamField(k)] = d.places[choice(unitField(i)+".upstreams", j)]
				break
			}
		}
	}
}

// locate adds the places to findings about this document's node.
func (d *document) locate(details []fault.Detail) []fault.Detail {
	f := Files{places: d.places}
	located := slices.Clone(details)
	for i, found := range located {
		if found.Where != "" {
			located[i] = d.inText(found)
		}
	}
	located = f.Locate(located)
	for i, found := range located {
		if found.Where == "" {
			located[i].Where = d.places[""].where
		}
	}
	return located
}

// inText turns a place in a text into one in the file that holds it. Where the
// YAML file writes the text in another way than line by line, the message keeps
// the place in the text.
func (d *document) inText(found fault.Detail) fault.Detail {
	var line, column int
	_, err := fmt.Sscanf(found.Where, "line %d, column %d", &line, &column)
	start, lines := d.texts[found.Field]
	switch {
	case err == nil && lines:
		found.Where = fmt.Sprintf("%s:%d:%d", start.file, start.line+line, start.indent+column)
	default:
		found.Message = found.Where + ": " + found.Message
		found.Where = ""
	}
	return found
}

// compareWhere orders places of one file by line and column.
func compareWhere(a, b string) int {
	position := func(s string) (line, column int) {
		s, col, _ := cutLast(s)
		_, l, _ := cutLast(s)
		line, _ = strconv.Atoi(l)
		column, _ = strconv.Atoi(col)
		return line, column
	}
	lineA, columnA := position(a)
	lineB, columnB := position(b)
	return cmp.Or(cmp.Compare(lineA, lineB), cmp.Compare(columnA, columnB))
}

func cutLast(s string) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// readLimited reads a whole file of at most so many bytes.
func readLimited(fsys fs.FS, name string, most int) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > most {
		return nil, fmt.Errorf("the file has more than %d bytes: make it smaller", most)
	}
	return data, nil
}
