// Package settings is the configuration of an agent: one struct, read from a
// file, the environment and flags, in this order of rising precedence. Names,
// help and the example file are made from the struct, so they cannot differ.
package settings

import "time"

// Settings of an agent. The tags of a field: name, as in the file; doc, for
// people; example, as in a file; default, as the agent acts without it; flag,
// where it is not made from the name; of, for texts, what they name.
//
// A list or map in the environment or in flags takes the place of all of the
// one in the file.
type Settings struct {
	ID           string            `name:"id" doc:"The agent's name in the cluster, its alone. With certificates, the one in its certificate." default:"the host's name" example:"worker-1"`
	Data         string            `name:"data" doc:"Folder for what runs, and for results and logs that are not safe elsewhere yet. On a local disk; one agent per folder." example:"/var/lib/backfleet-agent"`
	Coordinators []string          `name:"coordinators" doc:"Rpc addresses of coordinators, host:port. One is enough to find the leader, all of them survive more." example:"[c1.example.com:8471, c2.example.com:8471, c3.example.com:8471]"`
	Etcd         Etcd              `name:"etcd" whole:"true" doc:"Where a site has etcd, coordinators are found there, and the agent is seen there. Only the whole binary (backfleet agent) can."`
	Groups       map[string]int    `name:"groups" flag:"group" doc:"The resource groups that the agent serves, and how many slots each has here. One slot is one attempt, or more of them if its node asks for more." example:"{default: 8}"`
	Labels       map[string]string `name:"labels" flag:"label" doc:"What is special about this host. A node may ask for it (requires). Names that begin with backfleet/ are the agent's own." example:"{os: linux, gpu: \"true\"}"`
	TLS          TLS               `name:"tls" doc:"Certificates (backfleet tls issue agent). All three are needed, unless coordinators are on this host. Files that change are read again."`
	TokenFile    string            `name:"tokenFile" file:"true" doc:"File with the token that lets the agent join: a join token (bfj_…), or the secret of a line with role=agent in the coordinators' token file. It is read again at each connection." example:"/etc/backfleet/agent.token"`
	Logs         Logs              `name:"logs" doc:"What attempts print."`
	Environment  Environment       `name:"environment" doc:"Variables of attempts. Nothing else of the agent's environment gets to them."`
	Run          Run               `name:"run" doc:"How attempts run whose nodes say nothing else."`
	Python       Python            `name:"python" doc:"What runs python nodes that say nothing else. An agent that finds it has the label backfleet/python."`
	TaskProgram  string            `name:"taskProgram" file:"true" doc:"The program that runs sql, http, check, integration and logical nodes. An agent that has it has a label for each, like backfleet/sql." default:"backfleet-task beside the agent; the whole binary is one itself" example:"/usr/bin/backfleet-task"`
	Secrets      string            `name:"secrets" doc:"Folder with the files that data sources name for their passwords. They may also name variables of the agent that begin with BACKFLEET_SECRET_." default:"none" example:"/etc/backfleet/secrets"`
	Drain        Drain             `name:"drain" doc:"How the agent ends."`
	Pprof        string            `name:"pprof" doc:"Serve Go's profiles of the agent at this loopback address, host:port." default:"nowhere" example:"127.0.0.1:6060"`
	Metrics      string            `name:"metrics" doc:"Serve figures for Prometheus at this address, host:port, under /metrics. Beyond the loopback it takes certificates (tls), and who asks shows one of the same authority." default:"nowhere" example:"127.0.0.1:9470"`
	Log          Log               `name:"log" doc:"The agent's own log."`
}

// Etcd is the directory of a site that has one.
type Etcd struct {
	Endpoints []string      `name:"endpoints" flag:"etcd" doc:"Addresses of etcd, host:port." default:"no etcd" example:"[etcd1.example.com:2379]"`
	CA        string        `name:"ca" file:"true" doc:"PEM file with etcd's authority." example:"/etc/backfleet/etcd/ca.pem"`
	Cert      string        `name:"cert" file:"true" doc:"PEM file with the certificate for etcd, whose common name is the user there." example:"/etc/backfleet/etcd/agent.pem"`
	Key       string        `name:"key" file:"true" doc:"PEM file with its private key." example:"/etc/backfleet/etcd/agent.key"`
	Login     string        `name:"login" file:"true" doc:"File with user:password, where etcd asks for a password." example:"/etc/backfleet/etcd/login"`
	Prefix    string        `name:"prefix" doc:"Of the keys in etcd; each cluster needs its own." default:"/backfleet/presence" example:"/backfleet/presence"`
	Lease     time.Duration `name:"lease" doc:"How long an agent that died is still seen in etcd, in whole seconds." default:"10s" example:"10s"`
}

// TLS names the files.
type TLS struct {
	CA   string `name:"ca" file:"true" doc:"PEM file with the coordinators' authority." example:"/etc/backfleet/tls/ca.pem"`
	Cert string `name:"cert" file:"true" doc:"PEM file with the agent's certificate." example:"/etc/backfleet/tls/agent.pem"`
	Key  string `name:"key" file:"true" doc:"PEM file with its private key." example:"/etc/backfleet/tls/agent.key"`
}

// Logs of attempts.
type Logs struct {
	MaxBytes Size `name:"maxBytes" doc:"The most that one attempt may write: 2GiB, or a number of bytes. Lines past it are dropped and counted." default:"2GiB" example:"2GiB"`
}

// Environment of attempts.
type Environment struct {
	Inherit []string          `name:"inherit" doc:"Variables of the agent's own environment that attempts get." default:"[PATH, HOME, LANG, TZ]" example:"[PATH, HOME, LANG, TZ]"`
	Set     map[string]string `name:"set" doc:"Variables that every attempt gets. Those of a node go before them. No place for secrets: who may read this file reads them." example:"{WAREHOUSE: /srv/warehouse}"`
}

// Run is how attempts run.
type Run struct {
	User       string   `name:"user" doc:"With whose rights attempts run. Others than the agent's own need an agent that may give them (root, or CAP_SETUID and its like)." default:"the agent's" example:"nodes"`
	AllowUsers []string `name:"allowUsers" doc:"Users that nodes may name themselves; \"*\" stands for all but root." default:"none" example:"[etl, reports]"`
	Cgroup     string   `name:"cgroup" doc:"Where each attempt gets a control group of its own: auto (below the agent's own), off, or a folder below /sys/fs/cgroup." default:"auto" example:"auto"`
	Limits     Limits   `name:"limits" doc:"Of each attempt and all that it starts; a node's own go before them. 0: none."`
}

// Limits of an attempt.
type Limits struct {
	Memory    Size  `name:"memory" doc:"Memory of an attempt and all that it starts." default:"none" example:"4GiB"`
	CPU       Cores `name:"cpu" doc:"Cores of an attempt and all that it starts." default:"none" example:"1.5"`
	Processes int   `name:"processes" doc:"Processes of an attempt, threads included." default:"none" example:"1000"`
	OpenFiles int   `name:"openFiles" doc:"Open files of each process of an attempt." default:"the agent's" example:"4096"`
	Core      Size  `name:"core" doc:"Size of a core dump." default:"no core dumps" example:"100MiB"`
	Nice      int   `name:"nice" doc:"How much attempts step back behind other processes of the host, 0 to 19." default:"0" example:"5"`
}

// Python is what runs Python code.
type Python struct {
	Interpreter string            `name:"interpreter" doc:"A program along the PATH of attempts, or a path." default:"python3" example:"python3"`
	Venv        string            `name:"venv" doc:"Folder of a virtual environment, whose interpreter is taken instead." default:"none" example:"/srv/venvs/nodes"`
	Venvs       map[string]string `name:"venvs" doc:"Virtual environments of single resource groups, in place of venv." example:"{reports: /srv/venvs/reports}"`
}

// Drain is how the agent ends.
type Drain struct {
	OnStop   OnStop        `name:"onStop" doc:"What SIGTERM means. leave: what runs is left to the keeper, and an agent that is started again within the lease goes on with it. wait: nothing new, and the agent ends when nothing runs." default:"leave" example:"leave"`
	Deadline time.Duration `name:"deadline" doc:"How long the agent waits for what runs when it is to be empty (onStop: wait, SIGUSR1, the command drain). What runs then is stopped and runs again elsewhere, without using a retry." default:"none" example:"30m"`
}

// Log is the agent's own log.
type Log struct {
	Format string `name:"format" doc:"auto (text on a terminal, else json), text or json." default:"auto" example:"json"`
	Level  string `name:"level" doc:"debug, info, warn or error." default:"info" example:"info"`
}
