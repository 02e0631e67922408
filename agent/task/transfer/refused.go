package transfer

import (
	"bufio"
	"os"
	"path/filepath"

	"backfleet/agent/task/fence"
	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
)

// shownRefused is how many rejected rows the log shows.
const shownRefused = 10

// refused are the rows that were rejected: counted, bounded, and written to a
// file that takes its name when all are there.
type refused struct {
	most, count int64
	out         *output.Output
	path        string // empty: nowhere
	hidden      string
	file        *os.File
	lines       *bufio.Writer
}

func openRefused(path string, most int64, by fence.By, out *output.Output) (*refused, error) {
	r := &refused{most: most, out: out, path: path}
	if path == "" {
		return r, nil
	}
	if !filepath.IsAbs(path) {
		return nil, fault.Field("integration.rejectedFile", "%q: expected an absolute path", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "integration.rejectedFile: its folder cannot be made")
	}
	if err := tidy(path, by.Fence); err != nil {
		return nil, err
	}
	r.hidden = hidden(path, by.Fence)
	var err error
	if r.file, err = os.Create(r.hidden); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "integration.rejectedFile: it cannot be written")
	}
	r.lines = bufio.NewWriter(r.file)
	return r, nil
}

// add rejects a row. One too many is an error.
func (r *refused) add(rec *record, names []string, why refusal) error {
	r.count++
	if r.count <= shownRefused {
		r.out.Line("rejected: %s: %s", rec.where(), why)
	} else if r.count == shownRefused+1 {
		r.out.Line("further rejected rows are not shown here")
	}
	if r.lines != nil {
		line := map[string]any{rec.unit: rec.at, "why": string(why), "values": rec.values(names)}
		if rec.file != "" {
			line["file"] = rec.file
		}
		if _, err := r.lines.WriteString(compact(line) + "\n"); err != nil {
			return fault.Wrap(err, fault.Unavailable, "integration.rejectedFile: it cannot be written")
		}
	}
	if !r.exceeded() {
		return nil
	}
	in := ""
	if r.path != "" {
		in = "; they are in " + r.path
	}
	return fault.New(fault.Invalid, "%d rows were rejected and at most %d may be (maxRejected)%s; the last is %s: %s", r.count, r.most, in, rec.where(), why)
}

func (r *refused) exceeded() bool { return r.count > r.most }

// publish gives the file its name, also if nothing is in it.
func (r *refused) publish() error {
	if r.file == nil {
		return nil
	}
	err := r.lines.Flush()
	if err == nil {
		err = r.file.Sync()
	}
	if closed := r.file.Close(); err == nil {
		err = closed
	}
	r.file = nil
	if err == nil {
		err = os.Rename(r.hidden, r.path)
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "integration.rejectedFile: it cannot be written")
	}
	return nil
}

// discard leaves the file of an earlier attempt in its place.
func (r *refused) discard() {
	if r.file != nil {
		_ = r.file.Close()
		_ = os.Remove(r.hidden)
		r.file = nil
	}
}
