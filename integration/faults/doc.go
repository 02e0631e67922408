// Package faults does to real agents what happens to hosts: they are cut off,
// in both directions and in one, they freeze, their disks fill up, coordinators
// die under their logs, code tries to take the host. After each the receipt
// adds up, no two attempts of an instance overlapped by their own notes, and
// logs are whole by the code's own count.
//
// The tests run in a network namespace of their own, in which every agent has
// another. That takes root or user namespaces, and the tools unshare and ip.
package faults
