package keeper

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"backfleet/pkg/fault"
	"backfleet/pkg/slack"
	"backfleet/pkg/wire"
)

const socketName = "keeper.sock"

// SocketPath names a socket in a folder by way of an open descriptor of its folder,
// because a socket's path may have no more than 107 bytes and a data folder's
// may. The path holds until release.
func SocketPath(dir, name string) (path string, release func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, fault.Wrap(err, fault.Unavailable, "keeper: its folder cannot be opened")
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name), func() { f.Close() }, nil
}

// Client is a connection to a keeper.
type Client struct {
	wire.KeeperClient
	Info *wire.KeeperInfo
	// Outdated says why the keeper is still one of another binary; empty: it is
	// not.
	Outdated string
	conn     *grpc.ClientConn
}

// Close ends the connection; the keeper lives on.
func (c *Client) Close() error { return c.conn.Close() }

// Dial connects to the keeper of a folder. The error has code Unavailable when
// none answers.
func Dial(ctx context.Context, dir string) (*Client, error) {
	conn, err := grpc.NewClient("passthrough:///keeper",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			path, release, err := SocketPath(dir, socketName)
			if err != nil {
				return nil, err
			}
			defer release()
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot connect")
	}
	client := &Client{KeeperClient: wire.NewKeeperClient(conn), conn: conn}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if client.Info, err = client.KeeperClient.Info(ctx, &wire.KeeperInfoRequest{}); err != nil {
		conn.Close()
		return nil, fault.Wrap(err, fault.Unavailable, "keeper: no answer from its socket in %s", dir)
	}
	return client, nil
}

// Ensure connects to the keeper of a folder and starts one with the command,
// to which it appends "--dir" and the folder, when none answers. The new
// process has a session of its own, so it outlives its starter. A keeper of
// another binary than this process's is replaced: at once if nothing runs, or
// else by giving way to the command; Outdated tells why not.
func Ensure(ctx context.Context, dir string, command []string) (*Client, error) {
	client, err := Dial(ctx, dir)
	if err != nil {
		return start(ctx, dir, command)
	}
	if client.Info.StartedWith == Binary() {
		return client, nil
	}
	err = client.replace(ctx, dir, command)
	switch status.Code(err) {
	case codes.OK: // nothing ran: it ends
		client.Close()
		return start(ctx, dir, command)
	case codes.Unavailable: // as when it runs the other program now
		client.Close()
		if client, err = redial(ctx, dir); err != nil {
			return start(ctx, dir, command)
		}
	}
	switch {
	case client.Info.StartedWith == Binary():
	case err != nil:
		client.Outdated = status.Convert(err).Message()
	default:
		client.Outdated = "it has given way to another binary than this one"
	}
	return client, nil
}

// replace asks a keeper of another binary to end, or to give way to a command of
// this one.
func (c *Client) replace(ctx context.Context, dir string, command []string) error {
	args, err := arguments(dir, command)
	if err != nil {
		return err
	}
	// By the process rather than by the file, which may be a third one by now.
	next, err := json.Marshal(Successor{Path: fmt.Sprintf("/proc/%d/exe", os.Getpid()), Args: args, Binary: Binary(), Format: handoverFormat})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, successorKey, string(next)), replaceWithin)
	defer cancel()
	_, err = c.Quit(ctx, &wire.QuitKeeper{})
	return err
}

// replaceWithin bounds the time in which a keeper gives way: processes that are
// being started and logs that wait for the disk come first.
const replaceWithin = 15 * time.Second

// redial connects to a keeper that is becoming another program.
func redial(ctx context.Context, dir string) (*Client, error) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for begin := time.Now(); ; {
		client, err := Dial(ctx, dir)
		if err == nil || ctx.Err() != nil || time.Since(begin) > replaceWithin {
			return client, err
		}
		<-ticker.C
	}
}

// start starts a keeper and connects to it.
func start(ctx context.Context, dir string, command []string) (*Client, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot make its folder")
	}
	ended, err := spawn(dir, command)
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	late := time.NewTimer(15 * time.Second)
	defer late.Stop()
	for {
		if client, err := Dial(ctx, dir); err == nil {
			return client, nil
		}
		select {
		case <-ticker.C:
		case err := <-ended:
			return nil, fault.New(fault.Unavailable, "the keeper ended at once (%v); %s says why", err, logPath(dir))
		case <-late.C:
			return nil, fault.New(fault.Timeout, "the keeper does not answer within 15 s of its start; %s may say why", logPath(dir))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func logPath(dir string) string { return filepath.Join(dir, "keeper.log") }

// arguments are the command of a folder's keeper.
func arguments(dir string, command []string) ([]string, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: where is its folder")
	}
	return append(slices.Clone(command), "--dir", absolute), nil
}

func spawn(dir string, command []string) (<-chan error, error) {
	log, err := os.OpenFile(logPath(dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot write its log")
	}
	defer log.Close()
	args, err := arguments(dir, command)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), threadVariable+"=1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := slack.Start(cmd); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot start the keeper with %q", command)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return ended, nil
}
