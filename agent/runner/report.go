package runner

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/agent/task/metrics"
	"backfleet/pkg/wire"
)

// report is the file in which a process's code leaves metrics.
type report struct {
	path string // empty: there is none
	uid  uint32 // whose it must be, if this process is not that user
}

func (s *Spec) report() report {
	r := report{path: s.Metrics, uid: uint32(os.Geteuid())}
	if s.User != nil {
		r.uid = s.User.Uid
	}
	return r
}

// measure reads what the code of a process that has ended reported. What is
// wrong with it goes into the log. Without a file it costs one call.
func (r *Runner) measure(p *Process, now time.Time) []*wire.Metric {
	if p.report.path == "" {
		return nil
	}
	text, notes := p.report.read(r.room[:metrics.MostFile])
	var list []*wire.Metric
	if len(text) > 0 {
		var more []string
		list, more = metrics.Read(text)
		notes = append(notes, more...)
	}
	for _, m := range list {
		m.Value = p.log.masked(m.Value)
	}
	p.log.note(now, notes)
	return list
}

// read gives the end of the file, into room. The file is the attempt's: it may be
// anything, of any size, and must neither make the runner wait nor have it read
// what the attempt could not.
func (r report) read(room []byte) (text []byte, notes []string) {
	refuse := func(format string, args ...any) ([]byte, []string) {
		return nil, []string{"metrics: " + fmt.Sprintf(format, args...) + "; none are kept"}
	}
	fd, err := unix.Open(r.path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.ENOENT, unix.ENOTDIR: // the usual case; or the folder itself is gone
		return nil, nil
	case unix.ELOOP:
		return refuse("expected a file, found a symbolic link")
	default:
		return refuse("the file cannot be read: %v", err)
	}
	defer unix.Close(fd)
	var s unix.Stat_t
	switch err := unix.Fstat(fd, &s); {
	case err != nil:
		return refuse("the file cannot be read: %v", err)
	case s.Mode&unix.S_IFMT != unix.S_IFREG:
		return refuse("expected a file, found something else")
	case s.Nlink > 1 || s.Uid != r.uid && uint32(os.Geteuid()) != r.uid:
		return refuse("expected a file that the attempt has made, found another one")
	}
	from := max(0, s.Size-int64(len(room)))
	n, err := unix.Pread(fd, room, from)
	if err != nil {
		return refuse("the file cannot be read: %v", err)
	}
	text = room[:n]
	if from > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n")) // the line that is cut in two
		notes = append(notes, fmt.Sprintf("metrics: of %d bytes only the last %d are read", s.Size, len(room)))
	}
	return text, notes
}
