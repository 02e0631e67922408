// Package script specifies the command line: each file in testdata is a
// session in a shell against a real `backfleet dev`. tour.txtar is the README's
// tour; a test holds one to the other.
package script
