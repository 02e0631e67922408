// Package runbooks plays the runbooks of ops/runbooks, line by line, with real
// processes: what an operator is told to type is what is tried here.
//
// Every block of a runbook that is fenced as sh is run, in order, by one bash that
// ends at the first command that fails. To add a runbook, write
// ops/runbooks/NAME.md and add a play of that name to the table in
// plays_test.go: the fleet that it begins with, how the trouble is made (trouble),
// and what must hold when the last line has run (cured). A runbook without a
// play, and a play without a runbook, fail the tests.
//
// What a block may use:
//
//	backfleet …          against the fleet, as BACKFLEET_SERVER has it
//	on HOST COMMAND…     COMMAND on a host, as `ssh HOST COMMAND…` is; a host is
//	                     named as the coordinator or agent that it has: c1, a1. Its
//	                     data folder is there as $DATA, and in the blocks as
//	                     $DATA_c1. systemctl start, stop, kill and restart of
//	                     backfleet-coordinator and backfleet-agent reach the
//	                     process of that host; everything else is run by sh.
//	$SERVERS             the addresses of all coordinators, to set BACKFLEET_SERVER by
//	$BACKUP              a folder for backups
//
// and what the play's trouble has set beside (stage.set). A host that is to be new
// is added by the play (stage.newCoordinator) and is not started.
package runbooks
