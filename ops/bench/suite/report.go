package suite

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"backfleet/pkg/fault"
)

// Report is a run's outcome, as it is written for machines.
type Report struct {
	At        time.Time `json:"at"`
	Commit    string    `json:"commit"`
	Machine   Machine   `json:"machine"`
	LoadAfter float64   `json:"loadAfter"`
	Seconds   float64   `json:"seconds"`
	Figures   []Figure  `json:"figures"`
	// Failed are the rows that could not be measured to their end.
	Failed []RowError `json:"failed,omitempty"`
}

// RowError says why a row was not measured.
type RowError struct {
	Row   string `json:"row"`
	Error string `json:"error"`
}

// Machine says where the figures come from, without saying whose it is.
type Machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	MemoryGB   float64 `json:"memoryGB"`
	Disk       string  `json:"disk"`
	OS         string  `json:"os"`
	Go         string  `json:"go"`
	LoadBefore float64 `json:"loadBefore"` // processes that wanted a core in the last minute, ours not among them
}

func describeMachine(dir string) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), LoadBefore: loadAverage(), Disk: diskOf(dir)}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	m.MemoryGB = float64(fieldKB("/proc/meminfo", "MemTotal")) / (1 << 20)
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		parts := strings.SplitN(string(release), ".", 3) // the rest names a build
		m.OS = "Linux " + strings.TrimSpace(strings.Join(parts[:min(2, len(parts))], "."))
	}
	return m
}

func loadAverage() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

// diskOf names the file system and the device's kind under a folder. A tmpfs
// would make every figure with an fsync in it worthless.
func diskOf(dir string) string {
	var fs syscall.Statfs_t
	var st syscall.Stat_t
	if syscall.Statfs(dir, &fs) != nil || syscall.Stat(dir, &st) != nil {
		return "unknown"
	}
	name, ok := map[int64]string{0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: "tmpfs (an fsync costs nothing)", 0x794c7630: "overlayfs", 0x2fc12fc1: "zfs"}[int64(fs.Type)] //nolint:unconvert // another type on other architectures
	if !ok {
		name = fmt.Sprintf("file system %#x", fs.Type)
	}
	device := fmt.Sprintf("/sys/dev/block/%d:%d", st.Dev>>8&0xfff, st.Dev&0xff)
	target, err := filepath.EvalSymlinks(device)
	if err != nil {
		return name
	}
	if _, err := os.Stat(filepath.Join(target, "queue")); err != nil {
		target = filepath.Dir(target) // of a partition: its disk
	}
	kind := map[bool]string{true: "virtio disk", false: "disk"}[strings.HasPrefix(filepath.Base(target), "vd")]
	if strings.HasPrefix(filepath.Base(target), "nvme") {
		kind = "NVMe"
	}
	if text, err := os.ReadFile(filepath.Join(target, "queue", "rotational")); err == nil && strings.TrimSpace(string(text)) == "1" {
		kind += " (says it rotates)"
	}
	return name + " on a " + kind
}

// fieldKB reads a line such as "VmRSS:   1234 kB".
func fieldKB(file, field string) int64 {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			v, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return v
		}
	}
	return 0
}

// commit is the revision that is measured, as far as the build knows.
func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return s.Value[:12]
			}
		}
	}
	if out, err := gitHead(); err == nil {
		return out
	}
	return "unknown"
}

func (r *Report) write(o options, out io.Writer) error {
	fmt.Fprintf(out, "\n%s, %d cores, %.0f GB, %s, %s; commit %s; load %.1f before, %.1f after\n\n",
		r.Machine.CPU, r.Machine.Cores, r.Machine.MemoryGB, r.Machine.Disk, r.Machine.Go, r.Commit, r.Machine.LoadBefore, r.LoadAfter)
	t := r.table()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.Render()
	if o.output != "" {
		path, err := r.writeJSON(o.output)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nThe same as JSON, with every round: %s\n", path)
	}
	if o.results == "" {
		return nil
	}
	return r.appendTo(o.results)
}

// writeJSON writes the report for machines and says where.
func (r *Report) writeJSON(path string) (string, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(path, "/") {
		if err := os.MkdirAll(path, 0o777); err != nil {
			return "", fault.Wrap(err, fault.Invalid, "--output: the folder cannot be made")
		}
		path = filepath.Join(path, fmt.Sprintf("bench-%s-%s.json", r.At.Format("20060102-150405"), r.Commit))
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o666); err != nil {
		return "", fault.Wrap(err, fault.Invalid, "--output: the figures cannot be written")
	}
	return path, nil
}

func (r *Report) table() table.Writer {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"row", "what", "figure", "target", "met", "bound", "ratio"})
	last := ""
	for i := range r.Figures {
		f := &r.Figures[i]
		if last != "" && last != f.Row {
			t.AppendSeparator()
		}
		name, bound := f.Row, ""
		if last == f.Row {
			name = ""
		}
		last = f.Row
		if f.Bound != nil {
			bound = number(f.Bound.Value, f.Unit) + ": " + f.Bound.What
		}
		t.AppendRow(table.Row{name, f.What, number(f.Value, f.Unit), f.Target.text(f.Unit), f.verdict(), bound, ratio(f.Ratio)})
	}
	return t
}

// appendTo adds a section to a Markdown file.
func (r *Report) appendTo(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "--results: the file cannot be opened")
	}
	m := r.Machine
	_, err = fmt.Fprintf(f, "\n## %s, commit %s\n\n%s, %d cores, %.0f GB, %s, %s, %s. Load average %.1f before the run, %.1f after it.\n\n%s\n",
		r.At.Format("2006-01-02 15:04 MST"), r.Commit, m.CPU, m.Cores, m.MemoryGB, m.Disk, m.OS, m.Go, m.LoadBefore, r.LoadAfter, r.table().RenderMarkdown())
	if err == nil {
		err = f.Close()
	}
	return err
}
