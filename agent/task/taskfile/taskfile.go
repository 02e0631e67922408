// Package taskfile is the form in which a task program is given its task: a file
// in memory with a wire.Task in base64, for scripts are texts.
package taskfile

import (
	"encoding/base64"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Text writes a task.
func Text(t *wire.Task) (string, error) {
	data, err := proto.Marshal(t)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "node %q cannot be given to its program", t.GetNode().GetId())
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// mostBytes bounds the file: a node's texts grow to 16 MiB at most.
const mostBytes = 64 << 20

// Read reads one.
func Read(path string) (*wire.Task, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the task cannot be read")
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostBytes))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the task cannot be read")
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	t := &wire.Task{}
	if err == nil {
		err = proto.Unmarshal(data, t)
	}
	if err != nil || t.Node == nil {
		return nil, fault.New(fault.Invalid, "%s is no task: this program is started by agents, not by people", path)
	}
	return t, nil
}
