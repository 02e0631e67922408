package suite

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fsyncTimes writes and syncs a small record at the end of a preallocated
// file, as a log on disk does, and gives what each took in milliseconds.
func fsyncTimes(dir string, n int) ([]float64, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Truncate(64 << 20); err != nil {
		return nil, err
	}
	record := make([]byte, 512)
	var out []float64
	for i := range n {
		start := time.Now()
		if _, err := f.WriteAt(record, int64(i*len(record))); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		out = append(out, ms(time.Since(start)))
	}
	return out, nil
}

// roundTrips sends a byte to and fro over a TCP connection of the loopback and
// gives what each round took in milliseconds.
func roundTrips(n int) ([]float64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, c)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b := make([]byte, 1)
	var out []float64
	for range n {
		start := time.Now()
		if _, err := c.Write(b); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return nil, err
		}
		out = append(out, ms(time.Since(start)))
	}
	return out, nil
}

// commitBound is the least that a durable write on a majority takes: one sync
// and one round trip, the medians of both, in milliseconds.
func (r *run) commitBound() (float64, error) {
	f, err := fsyncTimes(r.dir, 200)
	if err != nil {
		return 0, err
	}
	t, err := roundTrips(1000)
	if err != nil {
		return 0, err
	}
	return median(f) + median(t), nil
}

// forker runs processes as barely as it can be done in Go.
type forker struct {
	dir    string
	argv   []string // found in PATH already
	logged bool     // a log file of its own for each, otherwise a pipe
}

// rate runs n processes, width at a time, and gives how many end in a second.
func (f *forker) rate(ctx context.Context, n, width int) (float64, error) {
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make(chan error, width)
	start := time.Now()
	for range width {
		wait.Go(func() {
			for i := next.Add(1); i <= int64(n) && ctx.Err() == nil; i = next.Add(1) {
				if err := f.one(int(i)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wait.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(n) / took.Seconds(), ctx.Err()
	}
}

func (f *forker) one(i int) error {
	var out *os.File
	var read *os.File
	var err error
	if f.logged {
		out, err = os.Create(filepath.Join(f.dir, fmt.Sprintf("bare%d.log", i)))
	} else {
		read, out, err = os.Pipe()
	}
	if err != nil {
		return err
	}
	p, err := os.StartProcess(f.argv[0], f.argv, &os.ProcAttr{
		Dir: f.dir, Files: []*os.File{nil, out, out}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	out.Close()
	if read != nil {
		defer read.Close()
	}
	if err != nil {
		return err
	}
	if read != nil {
		if _, err := io.Copy(io.Discard, read); err != nil {
			return err
		}
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = fmt.Errorf("a bare process ended with %v", state)
	}
	return err
}
