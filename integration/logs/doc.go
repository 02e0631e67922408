// Package logs follows logs all the way: from a process, through the runner and
// the spool of an agent, to the stores of three coordinators, and back. What is
// read is held against what the process itself has counted. How long the long
// log is, is a flag: go test ./integration/logs -logs.bytes 1073741824 -v
package logs
