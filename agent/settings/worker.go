package settings

import (
	"maps"
	"slices"

	"backfleet/agent/executor/python"
	"backfleet/agent/worker"
	"backfleet/pkg/mtls"
	"backfleet/pkg/obs"
	"backfleet/pkg/wire"
)

// Worker gives the settings to the agent itself. What has to be opened first is
// not in it: certificates, directory, logger.
func (s *Settings) Worker() worker.Config {
	c := worker.Config{
		ID:           s.ID,
		DataDir:      s.Data,
		Coordinators: s.Coordinators,
		Labels:       s.Labels,
		TokenFile:    s.TokenFile,
		LogMaxBytes:  int64(s.Logs.MaxBytes),
		Inherit:      s.Environment.Inherit,
		Environment:  s.Environment.Set,
		Run:          worker.Running{User: s.Run.User, AllowUsers: s.Run.AllowUsers, Cgroup: s.Run.Cgroup, Limits: s.Run.Limits.wire()},
		Python:       python.Settings{Interpreter: s.Python.Interpreter, Venv: s.Python.Venv, Venvs: s.Python.Venvs},
		Secrets:      s.Secrets,
		Metrics:      s.Metrics,
		Drain:        worker.Drain{Wait: s.Drain.OnStop == Wait, Deadline: s.Drain.Deadline},
	}
	if s.TaskProgram != "" {
		c.TaskCommand = []string{s.TaskProgram}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
		c.Groups = append(c.Groups, worker.GroupSlots{Group: name, Slots: s.Groups[name]})
	}
	return c
}

func (l Limits) wire() *wire.Limits {
	if l == (Limits{}) {
		return nil
	}
	return &wire.Limits{MemoryBytes: int64(l.Memory), CpuMilli: int32(l.CPU), Processes: int32(l.Processes),
		OpenFiles: int32(l.OpenFiles), CoreBytes: int64(l.Core), Nice: int32(l.Nice)}
}

// Files names the files for TLS.
func (t TLS) Files() mtls.Files { return mtls.Files{CA: t.CA, Cert: t.Cert, Key: t.Key} }

// Config is how the agent's own log looks.
func (l Log) Config() obs.LogConfig { return obs.LogConfig{Format: l.Format, Level: l.Level} }
