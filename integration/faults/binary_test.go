package faults

// The binary under test is built by a child process, which the test cache does
// not see: importing what it is made of lets a change to it run the tests again.
import _ "backfleet/ops/backfleet/command"
