// Package databases starts real PostgreSQL and MariaDB servers for tests: those
// that the distribution packages, one of each for a test binary, with a folder
// and a port of its own.
package databases

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"backfleet/pkg/fault"
)

// patience is how long a server may take to come up, on a busy machine.
const patience = 90 * time.Second

// server is a database server that ends with this process.
type server struct {
	product string
	folder  string // everything that it keeps; removed when it has ended
	port    int
	own     *syscall.SysProcAttr // whose rights it has: a server refuses to be root

	log  *os.File      // what it writes, readable when the folder is gone
	line *os.File      // held open for as long as this process lives
	done chan struct{} // closed when it has ended
}

// ward is the parent of a server. Its standard input ends with the process that
// started it, whatever ended that; then it ends the server by its id, which
// cannot be another's before it was waited for, and removes the folder.
const ward = `
folder=$1 signal=$2
shift 2
exec 3<&0
"$@" 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -s "$signal" $server; } &
watcher=$!
wait $server
kill $watcher 2>/dev/null
cd / && rm -rf "$folder"
`

// newServer makes a folder for a server that one of these accounts, or nobody,
// will run if we are root.
func newServer(product string, accounts ...string) (*server, error) {
	s := &server{product: product, done: make(chan struct{})}
	var err error
	if s.folder, err = os.MkdirTemp("", "backfleet-"+product+"-"); err != nil {
		return nil, err
	}
	s.own = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		err = s.become(append(accounts, "nobody"))
	}
	if err == nil {
		s.log, err = os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.folder))
	}
	return s, nil
}

// become gives the folder to the first of the accounts that there is.
func (s *server) become(accounts []string) error {
	for _, name := range accounts {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return err
		}
		s.own.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return os.Chown(s.folder, int(uid), int(gid))
	}
	return fault.New(fault.NotFound, "%s refuses to be root, and there is no account among %v to run it: add one", s.product, accounts)
}

// path is a path in the server's folder.
func (s *server) path(name string) string { return filepath.Join(s.folder, name) }

// command makes a command with the server's rights, whose output goes to its log.
func (s *server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.folder
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C", "TZ=UTC", "HOME=" + s.folder, "TMPDIR=" + s.folder}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = s.own
	return cmd
}

// prepare runs a program that makes the data folder.
func (s *server) prepare(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.command(ctx, program, args...).Run(); err != nil {
		return s.explain(fmt.Errorf("%s: %w", program, err))
	}
	return nil
}

// run starts the server under its ward; signal is the one that ends it at once
// and in order.
func (s *server) run(signal, program string, args ...string) error {
	end, line, err := os.Pipe()
	if err != nil {
		return err
	}
	defer end.Close()
	cmd := s.command(context.Background(), "sh", slices.Concat([]string{"-c", ward, "ward", s.folder, signal, program}, args)...)
	cmd.Stdin = end
	if err := cmd.Start(); err != nil {
		return errors.Join(err, line.Close())
	}
	s.line = line
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(s.done)
	}()
	return nil
}

// ready waits until the server answers.
func (s *server) ready(db *sql.DB) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return s.explain(errors.New("it ended before it answered"))
		case <-ctx.Done():
			return s.explain(fmt.Errorf("it did not answer within %s: %w", patience, err))
		case <-look.C:
		}
	}
}

// end ends the server and removes its folder; for one that came up wrong.
func (s *server) end() {
	if s.line == nil {
		_ = os.RemoveAll(s.folder)
		return
	}
	_ = s.line.Close()
	<-s.done
}

// explain adds the end of the server's log to an error.
func (s *server) explain(err error) error {
	const most = 2 << 10
	var text []byte
	if info, e := s.log.Stat(); e == nil {
		text = make([]byte, min(info.Size(), most))
		n, _ := s.log.ReadAt(text, info.Size()-int64(len(text)))
		text = text[:n]
	}
	return fmt.Errorf("%s: %w; the end of its log:\n%s", s.product, err, bytes.TrimSpace(text))
}

// freePort is a port of the loopback that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// lookFor finds a program: in the folders that match the patterns, the last in
// order first, or else in the PATH.
func lookFor(program, debian string, patterns ...string) (string, error) {
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(pattern, program))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fault.New(fault.NotFound, "there is no %s: install the package %s (apt-get install %s); its service need not run", program, debian, debian)
	}
	return filepath.EvalSymlinks(path)
}
