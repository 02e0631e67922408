package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"backfleet/agent/task/fence"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// fileBytes is where a file of the target ends and the next one begins.
const fileBytes = 256 << 20

// folder is a target of files: the partition's, and nobody else's. Its new
// contents are written beside it and change places with the old ones.
type folder struct {
	path    string
	format  string
	by      fence.By
	columns []column
	most    int64 // bytes of one file
}

func openFolder(to *wire.IntegrationTarget, by fence.By) (*folder, error) {
	path := filepath.Clean(to.Folder)
	switch {
	case to.Folder == "":
		return nil, fault.Field("integration.to", "expected a data source and a table, or a folder")
	case !filepath.IsAbs(path) || path == filepath.Dir(path):
		return nil, fault.Field("integration.to.folder", "%q: expected the absolute path of the partition's own folder", to.Folder)
	case !slices.Contains([]string{formatCSV, formatJSONL, formatParquet}, to.Format):
		return nil, fault.Field("integration.to.format", "%q is no format: expected csv, jsonl or parquet", to.Format)
	case len(to.Partition) > 0:
		return nil, fault.Field("integration.to.partition", "a folder is one partition by itself: put the values into integration.to.folder")
	}
	return &folder{path: path, format: to.Format, by: by, most: fileBytes}, nil
}

func (f *folder) types() map[string]kind { return nil }

func (f *folder) sets(string) bool { return false }

func (f *folder) prepare(_ context.Context, columns []column) error {
	f.columns = columns
	return nil
}

func (f *folder) close() error { return nil }

// String names the folder to people.
func (f *folder) String() string { return "folder " + f.path }

func (f *folder) replace(_ context.Context, fill func(sink) error) (int64, error) {
	// Claimed twice: now, so that who is late does not begin and who is early may
	// tidy up; and when the folders change places.
	if err := f.claimed(f.tidy); err != nil {
		return 0, err
	}
	fresh := hidden(f.path, f.by.Fence)
	defer os.RemoveAll(fresh) // the old rows, or what was not finished
	bytes, err := f.write(fresh, fill)
	if errors.Is(err, os.ErrNotExist) { // a newer attempt has tidied it up
		err = errors.Join(f.claimed(func() error { return nil }), err)
	}
	if err != nil {
		return 0, err
	}
	return bytes, f.claimed(func() error { return exchange(fresh, f.path, f.by.Fence) })
}

// claimed does something while nobody else may.
func (f *folder) claimed(do func() error) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o777); err != nil {
		return fault.Wrap(err, fault.Invalid, "integration.to.folder: the folder above it cannot be made")
	}
	release, err := fence.ClaimFolder(f.path, f.by)
	if err != nil {
		return err
	}
	return errors.Join(do(), release())
}

// tidy puts right what killed attempts left, and looks at what will be replaced.
func (f *folder) tidy() error {
	if err := tidy(f.path, f.by.Fence); err != nil {
		return err
	}
	entries, err := os.ReadDir(f.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fault.Wrap(err, fault.Invalid, "integration.to.folder: what is there is no folder that can be read")
	}
	if info, err := os.Lstat(f.path); err == nil && !info.IsDir() {
		return fault.Field("integration.to.folder", "%s is a link: expected the folder itself", f.path)
	}
	for _, e := range entries {
		if e.IsDir() {
			return fault.Field("integration.to.folder", "%s holds the folder %s, so it is more than one partition: expected a folder with files alone, for all that is in it is replaced", f.path, e.Name())
		}
	}
	return nil
}

// write fills a new folder, which is on the disk when it returns.
func (f *folder) write(fresh string, fill func(sink) error) (int64, error) {
	mode := os.FileMode(0o777)
	err := os.Mkdir(fresh, mode)
	if info, e := os.Stat(f.path); e == nil && err == nil {
		err = os.Chmod(fresh, info.Mode().Perm())
	}
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "integration.to.folder: the new one cannot be made")
	}
	w := &files{of: f, path: fresh}
	defer w.abandon()
	if err := w.next(); err != nil {
		return 0, err
	}
	if err := fill(w); err != nil {
		return 0, err
	}
	if err := w.end(); err != nil {
		return 0, err
	}
	return w.bytes, syncFolder(fresh)
}

// syncFolder brings a folder's names to the disk.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "%s cannot be brought to the disk", path)
	}
	return nil
}

// encoder writes rows in one format.
type encoder interface {
	// add writes a row, or refuses it.
	add(values []any) error
	// size is how many bytes there are so far, about.
	size() int64
	close() error
}

// counter counts what is written.
type counter struct {
	to io.Writer
	n  int64
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

func (c *counter) size() int64 { return c.n }

// files are those of the new folder: part-00000.csv and so on.
type files struct {
	of     *folder
	path   string
	count  int
	file   *os.File
	buffer *bufio.Writer
	rows   encoder
	bytes  int64 // of the files that are complete
}

func (w *files) next() (err error) {
	path := filepath.Join(w.path, fmt.Sprintf("part-%05d.%s", w.count, w.of.format))
	if w.file, err = os.Create(path); err != nil {
		return w.failed(err)
	}
	w.count++
	w.buffer = bufio.NewWriterSize(w.file, 256<<10)
	switch w.of.format {
	case formatCSV:
		w.rows, err = newCSVWriter(w.of.columns, w.buffer)
	case formatJSONL:
		w.rows = newJSONLWriter(w.of.columns, w.buffer)
	default:
		w.rows, err = newParquetWriter(w.of.columns, w.buffer)
	}
	return err
}

func (w *files) failed(err error) error {
	return fault.Wrap(err, fault.Unavailable, "rows cannot be written to %s", w.path)
}

// end completes a file.
func (w *files) end() error {
	err := w.rows.close()
	if err == nil {
		err = w.buffer.Flush()
	}
	if err == nil {
		err = w.file.Sync()
	}
	var info os.FileInfo
	if err == nil {
		info, err = w.file.Stat()
	}
	if closed := w.file.Close(); err == nil {
		err = closed
	}
	if w.file = nil; err != nil {
		return w.failed(err)
	}
	w.bytes += info.Size()
	return nil
}

func (w *files) abandon() {
	if w.file != nil {
		_ = w.file.Close() // it will be removed
	}
}

func (w *files) write(_ context.Context, rows [][]any) (refused []refusedAt, err error) {
	if w.rows.size() >= w.of.most {
		if err := w.end(); err != nil {
			return nil, err
		}
		if err := w.next(); err != nil {
			return nil, err
		}
	}
	for i, row := range rows {
		var why refusal
		if err := w.rows.add(row); errors.As(err, &why) {
			refused = append(refused, refusedAt{i, why})
		} else if err != nil {
			return nil, w.failed(err)
		}
	}
	return refused, nil
}

// Beside a folder or a file x that is replaced stand .x.<fence>.new, what an
// attempt is writing, and .x.<fence>.old, on file systems that cannot exchange
// two folders.
const (
	unfinished = ".new"
	setAside   = ".old"
)

func hidden(path string, by uint64) string { return beside(path, by, unfinished) }

func beside(path string, by uint64, what string) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d%s", filepath.Base(path), by, what))
}

// tidy removes what attempts up to this one left beside a path. If one was killed
// between setting the old folder aside and naming the new one, the old one comes
// back.
func tidy(path string, by uint64) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "leftovers of earlier attempts cannot be looked for")
	}
	prefix := "." + filepath.Base(path) + "."
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		left := filepath.Join(filepath.Dir(path), e.Name())
		number, unnamed := strings.CutSuffix(rest, unfinished)
		number, old := strings.CutSuffix(number, setAside)
		n, err := strconv.ParseUint(number, 10, 64)
		if !ours || unnamed == old || err != nil || n > by {
			continue
		}
		if _, err := os.Lstat(path); old && errors.Is(err, os.ErrNotExist) {
			if err := os.Rename(left, path); err != nil {
				return fault.Wrap(err, fault.Unavailable, "%s is the old folder of an attempt that was killed, and cannot be named %s again", left, path)
			}
			continue
		}
		if err := os.RemoveAll(left); err != nil {
			return fault.Wrap(err, fault.Unavailable, "%s was left by an attempt that was killed and cannot be removed", left)
		}
	}
	return nil
}

// renameat2 is replaced in tests, by that of other file systems.
var renameat2 = unix.Renameat2

// exchange gives the fresh folder the name of the old one, which is hidden under
// the fresh one's afterwards. That is one step; on file systems that know none
// such it is two, between which there is no folder.
func exchange(fresh, path string, by uint64) error {
	_, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = os.Rename(fresh, path)
	case err == nil:
		err = renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
			err = inTwoSteps(fresh, path, by)
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "%s cannot become %s", fresh, path)
	}
	return syncFolder(filepath.Dir(path))
}

func inTwoSteps(fresh, path string, by uint64) error {
	aside := beside(path, by, setAside)
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return errors.Join(err, os.Rename(aside, path))
	}
	return os.RemoveAll(aside)
}
