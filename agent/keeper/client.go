package keeper

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"backfleet/pkg/fault"
	"backfleet/pkg/slack"
	"backfleet/pkg/wire"
)

const socketName = "keeper.sock"

// socketPath names the socket by way of an open descriptor of its folder,
// because a socket's path may have no more than 107 bytes and a data folder's
// may. The path holds until release.
func socketPath(dir string) (path string, release func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, fault.Wrap(err, fault.Unavailable, "keeper: its folder cannot be opened")
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), socketName), func() { f.Close() }, nil
}

// Client is a connection to a keeper.
type Client struct {
	wire.KeeperClient
	Info *wire.KeeperInfo
	conn *grpc.ClientConn
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
			path, release, err := socketPath(dir)
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
// process has a session of its own, so it outlives its starter.
func Ensure(ctx context.Context, dir string, command []string) (*Client, error) {
	client, err := Dial(ctx, dir)
	if err == nil {
		return client, nil
	}
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

func spawn(dir string, command []string) (<-chan error, error) {
	log, err := os.OpenFile(logPath(dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot write its log")
	}
	defer log.Close()
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: where is its folder")
	}
	cmd := exec.Command(command[0], append(append([]string(nil), command[1:]...), "--dir", absolute)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := slack.Start(cmd); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot start the keeper with %q", command)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return ended, nil
}
