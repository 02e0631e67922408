// Package peers holds what has gone wrong with backfills in other systems, as their users have told in public, and the
// tests that show that it does not go wrong here. PEERS.md is made from it.
package peers

import (
	"fmt"
	"strings"
)

// Row is one such failure.
type Row struct {
	System  string
	Address string // of the report
	Wrong   string // what went wrong, in a sentence
	Here    string // why it does not here
	Test    string // that shows it: package and name
}

const (
	github  = "https://github.com/"
	airflow = github + "apache/airflow/"
	dagster = github + "dagster-io/dagster/"
	dolphin = github + "apache/dolphinscheduler/"
	kestra  = github + "kestra-io/kestra/"
	prefect = github + "PrefectHQ/prefect/"
	argo    = github + "argoproj/argo-workflows/"
	sqlmesh = github + "SQLMesh/sqlmesh/"
	fleets  = "integration/sim TestR13_FleetsKeepTheirPromises"
)

// Rows is the table.
var Rows = []Row{
	// Starvation.
	{"Airflow", airflow + "issues/45636", "What waits for a full pool fills each look at the queue, so that tasks of a pool with free slots are never looked at.", "R7.3: each resource group has a queue of its own, and a turn gives out the free slots of all.", "integration/peers TestAFullGroupStarvesNoOther"},
	{"Airflow", airflow + "issues/19622", "Large graphs at their own limit keep everything else in the state scheduled for hours.", "R4.8: a plan at its cap is passed over, and who comes after it is asked.", "coordinator/schedule TestR4_8_MaxRunning"},
	{"Airflow", airflow + "issues/26933", "A slot goes to a less urgent task, because the urgent one that follows the task just ended is not known to be ready yet.", "R7.3: an end, what it unlocks and what gets the slot are one turn.", "coordinator/dispatch TestAFinishStartsWhatWaitsForItsSlot"},
	{"Airflow", airflow + "issues/26078", "One task's limit in a backfill keeps all its other tasks waiting.", "R4.8: only who is at a limit waits for it.", "coordinator/schedule TestR4_8_MaxRunning"},

	// Caps.
	{"Airflow", airflow + "issues/58752", "With two schedulers a backfill of one run at a time runs several at once.", "R4.8, R13.2: the cap is counted from the facts when the grant becomes one.", "integration/peers TestANewLeaderStrandsNothingAndCountsAlike"},
	{"Airflow", airflow + "issues/15793", "More slots are queued than the pool has.", "R7.8: an attempt counts with the slots of its node, and a grant beyond them is refused by the facts.", "coordinator/state TestR7_8_AnAttemptTakesItsNodesSlots"},
	{"Prefect", prefect + "issues/22597", "The counter of taken slots drifts from what runs, and nothing starts any more.", "R7.5: slots are counted from leases, on every coordinator alike.", "coordinator/dispatch TestOffersAreWhatTheFactsCount"},
	{"Prefect", prefect + "issues/17415", "A worker that dies keeps its place in a limit for ever.", "R13.2: a place is a lease, which ends by itself.", "coordinator/dispatch TestLeasesEndWithoutRenewals"},
	{"Prefect", prefect + "issues/8566", "A cancelled run's tasks keep their places in a limit.", "R9: what was stopped gives back its slot with its lease.", fleets},

	// Deadlocks that are none, and some that are.
	{"Airflow", airflow + "issues/29524", "Later runs take all places of the limit while they wait for an earlier one, which cannot run again for lack of a place.", "R4.8: what waits takes no place; the cap counts instances that run.", "integration/peers TestACapIsTakenByWhatRunsAlone"},
	{"Airflow", airflow + "issues/26044", "A backfill's run is declared deadlocked and failed while its tasks go on.", "R5.7: circles are looked for when a plan is made, from the graph; nothing that runs is judged by how it looks.", "pkg/plan TestR5_7_RefusedPlansHaveACircleAndAcceptedOnesNone"},
	{"Airflow", airflow + "issues/33994", "A backfill ends as deadlocked with tasks that could have run.", "R5.1: what could start starts. A fleet at rest in which something could is a failure of the simulation.", fleets},
	{"Dagster", dagster + "pull/17278", "Partitions whose upstream partitions are not in the backfill hang for ever.", "R2.7: what lies outside the plan is not waited for, and the preview names it.", "pkg/plan TestR2_7_R5_3_WhatIsReadFromOutsideThePlan"},

	// Waves, and what a failure holds.
	{"DolphinScheduler", dolphin + "issues/15835", "In a parallel backfill a failed date's successors are never made, and nothing says so.", "R4.4: all instances are there from the start; a failure holds its group, which gives the reason, and no other.", "integration/peers TestAFailureHoldsItsGroupAlone"},
	{"DolphinScheduler", dolphin + "issues/13783", "The strategy to continue after a failure does not continue.", "R4.5: with `continue` the next date begins when the one before is quiet.", "integration/peers TestAFailureHoldsItsGroupAlone"},
	{"DolphinScheduler", dolphin + "issues/17831", "How many dates run side by side is not what was set, and hard to foresee.", "R4.2: dates are cut into as many groups as asked for, and each goes on by itself.", "integration/peers TestOneSlowDateHoldsNobodyElse"},

	// Pause and stop.
	{"Dagster", dagster + "issues/15013", "A cancelled backfill goes on launching runs for a while.", "R9: from the answer to a stop on nothing is granted; one that was on its way is refused by the facts.", "coordinator/dispatch TestR9_AStopBetweenATurnAndItsEntryWins"},
	{"Dagster", dagster + "issues/12634", "Cancelling a backfill leaves running what was launched.", "R9: a stop is told to every agent that holds something of the plan, again if it comes back.", "coordinator/dispatch TestR9_AStopIsToldOnceAndAgainToANewStream"},
	{"Airflow", airflow + "issues/71381", "A pause also stalls, without a word, what runs already.", "R9: a pause starts nothing; what runs finishes, and what waits says that its plan is paused.", "coordinator/state TestR9_PauseResumeAndFinishedPlans"},
	{"Airflow", airflow + "issues/72337", "Runs of a cancelled backfill that are cleared wait for ever.", "R9: named instances of a stopped plan run, and a resume takes up the rest.", "integration/peers TestWhatWasStoppedRunsAgain"},
	{"Dagster", dagster + "issues/14646", "Cancelled runs cannot be run again as part of their backfill.", "R9: a rerun takes what was stopped like what has failed.", "integration/peers TestWhatWasStoppedRunsAgain"},

	// Dates and times.
	{"Kestra", kestra + "issues/18504", "A backfill leaves out the occurrence at its start.", "R3.1: both ends are included.", "integration/peers TestTheDatesAreThoseAskedFor"},
	{"Temporal", github + "temporalio/temporal/pull/5213", "Whether a backfill has the action at its start depends on fractions of a second.", "R3.2: a range of times of day is closed.", "pkg/calendar TestR3_2_RestrictKeepsCyclesInTheClosedRange"},
	{"DolphinScheduler", dolphin + "issues/10849", "A date that is named twice runs twice.", "R3.1: dates are united.", "pkg/plan TestR3_1_DatesAreTheUnionSortedWithoutDoubles"},
	{"DolphinScheduler", dolphin + "issues/11397", "Some dates of a parallel backfill are never made.", "R4.2: groups hold every date once; models count them.", "pkg/plan TestR4_2_SplitsOfManyDates"},
	{"DolphinScheduler", dolphin + "issues/6347", "The first scheduled time is the start of the range and not one of the schedule.", "R1.1: cycles are computed from the schedule, for backfills as for the schedule itself.", "pkg/calendar TestCyclesAgreeWithTheRuleSpelledOut"},
	{"DolphinScheduler", dolphin + "issues/5979", "A backfill and the schedule call the same data by dates a day apart, so that one does not find the other's runs.", "R1.1: a cycle is its node, data timestamp and scheduled time, whoever runs it.", "coordinator/schedule TestR5_3_AnAutoInstanceWaitsForTheRepairThatRuns"},
	{"Airflow", airflow + "issues/38098", "A run whose time the clocks skip does not take place.", "R1.5: it moves later by the gap.", "pkg/calendar TestGapMovesLaterByItsLength"},
	{"Temporal", github + "temporalio/temporal/issues/8205", "Where clocks change, a cron runs never, once or twice.", "R1.5: once; of an hour that comes twice the second counts.", "coordinator/cycle TestR1_5_TheDaysOfTheChangeHaveTheirCycles"},
	{"Dagster", dagster + "pull/18022", "Hours of the night in which clocks go back belong to no partition.", "R1.5: it is said which one of a doubled hour counts, and every cycle has one instant.", "pkg/calendar TestR1_5_DoubledHourRunsOnceTheSecond"},
	{"Dagster", dagster + "issues/19087", "What looks back over seven partitions starts before they are there.", "R5.3: all dates of a window that are in the plan are waited for.", "pkg/plan TestR5_3_Windows"},

	// What runs again.
	{"Dagster", dagster + "issues/20465", "Running again what failed of a partition runs again what had succeeded.", "R9: `rerun --failed` takes the failed instances and what they blocked.", "integration/peers TestARerunTakesWhatFailedAlone"},
	{"Airflow", airflow + "issues/52640", "What comes after a failed task stays failed when that one has succeeded in the end.", "R5.1: what waits has no mark to be cleared: it is asked again when its upstream changes.", "integration/peers TestWhatComesAfterIsNotMarked"},
	{"Airflow", airflow + "issues/12485", "What comes after a task that was set to success does not go on.", "R9: set to success counts as success for all that waits.", "integration/peers TestWhatComesAfterIsNotMarked"},
	{"SQLMesh", sqlmesh + "issues/2985", "The same plan applied again runs its backfill again.", "R13.1: a request with the same key is answered as the first time.", "coordinator/state TestIdempotencyKeysAreKeptForADay"},
	{"SQLMesh", sqlmesh + "issues/5843", "A run that fails between deleting and inserting leaves a hole in the data.", "R12.1: a partition is replaced at once, or not.", "agent/task/transfer TestR12_1_KilledOverSQLite"},

	// Restarts, changes of code.
	{"Dagster", dagster + "issues/33317", "Queued runs are cancelled when the job is not defined any more.", "R1.6: the plan has pinned what it needs, and its instances go on.", "integration/peers TestANodeThatIsRemovedCancelsNothing"},
	{"Dagster", dagster + "issues/33527", "A backfill is cancelled because a server could not be reached for a moment.", "R13.5: who cannot be reached loses leases at most; plans are facts that nothing but a person ends.", fleets},
	{"Dagster", dagster + "issues/29467", "A backfill is recorded as failed although all of it has succeeded.", "R8: what is shown of a plan is computed from its instances.", "coordinator/schedule TestR8_Shown"},
	{"Dagster", dagster + "issues/3449", "A server that dies while it launches a backfill leaves no record of the rest.", "R13.1: a backfill is one log entry, however large.", "integration/e2e TestR13_1_ALargePlanOutlivesItsCoordinators"},
	{"Dagster", dagster + "issues/4208", "A backfill with queued runs is shown as complete.", "R13.6: the counts of a plan add up at all times.", "integration/naive TestR1_9_EngineAndRulesAgree"},
	{"Airflow", airflow + "issues/16023", "A scheduler takes running tasks for orphans and kills them.", "R13.5: a new leader gives every lease a full term before it takes one for lost.", "coordinator/dispatch TestR13_5_ANewLeaderGivesAFullTerm"},
	{"Airflow", airflow + "issues/25021", "Running tasks are reset when the scheduler is restarted.", "R13.5: processes are the agent's keeper's, and their leases outlive leaders.", "integration/e2e TestLeaderKilledFiveTimes"},
	{"Airflow", airflow + "issues/8798", "Queued tasks stay queued until somebody restarts the scheduler.", "R13.2: a grant that does not arrive is found out at the next renewals, lost and granted again.", "coordinator/dispatch TestAGrantThatNeverArrivedIsLost"},
	{"DolphinScheduler", dolphin + "issues/13355", "A failover during which the new master dies is never finished.", "Facts need no failover: whoever leads next begins from the log, as often as it takes.", fleets},

	// Twice.
	{"DolphinScheduler", dolphin + "issues/16759", "A master that is cut off goes on and another takes over: both start the next task.", "R13.2: a grant is a log entry, and who has no majority commits none.", "integration/faults TestR13_2_Cuts"},
	{"DolphinScheduler", dolphin + "issues/8110", "A worker taken for dead still runs what another one was given.", "R13.2: at the end of a lease the agent's keeper kills it, before the leader counts it as lost.", "agent/keeper TestTheLeaseEndKillsTheWholeGroupWithoutAnybodyConnected"},
	{"DolphinScheduler", dolphin + "issues/17342", "Workflows that were taken over a moment ago are taken over once more.", "R14.3: what a restart took is lost once.", "coordinator/dispatch TestR14_3_WhatARestartTookIsLostOnce"},
	{"DolphinScheduler", dolphin + "issues/2231", "Two masters each start an instance of the same scheduled workflow.", "R1: a date of the schedule is made by one entry, and made once.", "coordinator/state TestGenerateMakesThePlanOfADateOnce"},
	{"Argo", argo + "issues/2773", "Each cron workflow is started twice.", "R1: as above.", "coordinator/state TestGenerateMakesThePlanOfADateOnce"},
	{"Argo", argo + "issues/4392", "Two runs are side by side although that is forbidden.", "R5.6, R5.8: refused by the facts, whoever asks.", "coordinator/state TestR5_8_OverlapWarnsRefusesAndNeverRunsTwice"},
	{"Temporal", github + "temporalio/sdk-typescript/issues/1594", "A run that is triggered at once is not counted by the overlap policy.", "R5.6: backfill and schedule keep off each other's nodes, by default.", "coordinator/schedule TestR5_6_BackfillAgainstSchedule"},
	{"Prefect", prefect + "issues/18839", "The process goes on after its run was taken for crashed.", "R13.2: the keeper holds the deadline, not the process.", "agent/keeper TestTheLeaseEndKillsTheWholeGroupWithoutAnybodyConnected"},
	{"Prefect", prefect + "issues/18942", "A run that has completed is recorded as crashed, since its lease could not be renewed after it.", "R13.4: a result stays on the agent's disk until it is a fact, and ends the lease.", "integration/e2e TestResultOutlivesTheSession"},
	{"Airflow", airflow + "issues/42553", "One attempt is found to be a zombie several times, which uses up its retries.", "R13.4: an end is counted once, and a loss uses no retry.", "coordinator/state TestR13_4_StaleAndRepeatedReportsChangeNothing"},
	{"Airflow", airflow + "pull/24906", "Two schedulers both handle a lost task, and it fails where it should be tried again.", "R9: a loss uses no retry.", "coordinator/state TestR9_RetriesAndWhatUsesOne"},
	{"Airflow", airflow + "issues/22224", "A task runs again after it has succeeded.", "R13.4: results count once; only what the facts say waits is granted.", "coordinator/dispatch TestR13_4_ResultsCountOnceAndAreAcknowledged"},

	// Outages, logs.
	{"Kestra", kestra + "issues/3000", "After a blockage all missed executions run one after the other, and nobody can prevent it.", "R0: how far back the schedule makes up for an outage is a setting.", "coordinator/cycle TestR1_MissedDatesAreGeneratedAsFarBackAsIsSet"},
	{"Argo", argo + "issues/9632", "Of what an outage missed only the last is run.", "R0: all dates are made that are not older than the setting says.", "coordinator/cycle TestR1_MissedDatesAreGeneratedAsFarBackAsIsSet"},
	{"Kestra", kestra + "issues/6027", "What was missed while a trigger was disabled runs when it is enabled.", "R0: the cycles before a node was switched on are dry runs.", "pkg/plan TestR6_CyclesBeforeANodeWasSwitchedOnAreDryRuns"},
	{"Airflow", airflow + "issues/11561", "A log can be read only while the worker is up that has it.", "R10.2: logs are acknowledged when a majority of coordinators has them on disk, and read anywhere.", "coordinator/logstore TestAcknowledgedIsOnAMajorityAndReadableAnywhere"},
}

// Page is PEERS.md.
func Page() string {
	var b strings.Builder
	b.WriteString("# Failures of others\n\n" +
		"What users of other systems have reported of backfills, in our words, and the test that shows that it does not happen here. Some of it\n" +
		"has been mended there since. Rules are those of [pkg/plan/RULES.md](../../pkg/plan/RULES.md). Made from peers.go by `go test ./integration/peers -update`.\n\n" +
		"| system | report | what went wrong | here | test |\n|---|---|---|---|---|\n")
	for _, r := range Rows {
		pkg, name, _ := strings.Cut(r.Test, " ")
		fmt.Fprintf(&b, "| %s | [%s](%s) | %s | %s | %s `%s` |\n", r.System, number(r.Address), r.Address, r.Wrong, r.Here, pkg, name)
	}
	return b.String()
}

// number is how a report is called: its repository and number.
func number(address string) string {
	parts := strings.Split(strings.TrimPrefix(address, github), "/")
	return parts[1] + "#" + parts[3]
}
