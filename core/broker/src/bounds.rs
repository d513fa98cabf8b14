//! The state machine's bounds of space and of work, tied together: what each protects, and what breaks without it. The shares of the disk
//! budget that the log's gate keeps are [`postrider_journal::room`]'s, what crosses the rings is [`postrider_model::limits`]'s.

use crate::log::Log;
use postrider_journal::room::KEPT_FROM_CREATES;
use postrider_model::limits;

// ---- space: the journal (R6, R19)

/// `K`: segments of the disk budget that are for none of what lives; of the others what lives may take half. *Without: the log is full
/// before it is worth walking, and what moves finds no room.*
pub(crate) const RESERVED_SEGMENTS: u64 = 8;

/// Live bytes that the journal may hold.
pub(crate) fn live_limit<L: Log>(log: &L) -> u64 {
    log.disk_budget().saturating_sub(RESERVED_SEGMENTS * log.segment_bytes()) / 2
}

/// Segments by which the log is longer than its law says when the walk begins (decision 0008). Far fewer than it may ever be: while the
/// front is walked and its items move, more is appended. *Without: everything that lives is copied again and again.*
pub(crate) const START_SEGMENTS: u64 = 3;

const _: () = assert!(
    START_SEGMENTS + KEPT_FROM_CREATES == RESERVED_SEGMENTS,
    "at the limit of live bytes the law and the start come to no more than what things may be created in"
);

/// A front segment of which so small a part is alive is walked whatever the law says: the moves cost next to nothing, and its file and
/// its memory, which is touched already, serve again.
pub(crate) const NEARLY_DEAD: u64 = 64;

/// A send may go beyond what may live by one part in so many of it (R24). *Without: who sends something large waits for ever behind those
/// who send little.*
pub(crate) const BEYOND: u64 = 8;

const _: () = assert!(BEYOND >= 8, "an eighth more, which the walk still has room to move");

/// Consumers may name new destinations though the log is full: with names of so large a part of a segment, out of what is kept for
/// acknowledgements. *Without: whoever comes to make room is refused.*
pub(crate) const CREATIONS_OF_SEGMENT: u64 = 8;

/// Of what may live, this part is for names. *Without: names, which nobody consumes, take all of it.*
pub(crate) const NAMES_OF_WHAT_LIVES: u64 = 8;

/// And this one for what producers are remembered by (R17). *Without: thousands of producers fill a small log with what reclaim only
/// copies.*
pub(crate) const MARKS_OF_WHAT_LIVES: u64 = 8;

const _: () = assert!(NAMES_OF_WHAT_LIVES >= 8 && MARKS_OF_WHAT_LIVES >= 8, "messages have three quarters at least");

/// And this one for what transactions have sent that are not decided (R35). *Without: they fill the log, and nobody can make room by what is
/// committed.*
pub(crate) const UNDECIDED_OF_WHAT_LIVES: u64 = 4;

/// And this one for what prepared branches acknowledge, as much again being kept for their decisions (R46). *Without: what nobody decides
/// fills the log.*
pub(crate) const PREPARED_OF_WHAT_LIVES: u64 = 16;

/// And this one for how branches have ended.
pub(crate) const OUTCOMES_OF_WHAT_LIVES: u64 = 16;

/// How branches have ended: so many of them, and for so long (R43).
pub(crate) const OUTCOMES: usize = 65_536;
pub(crate) const OUTCOME_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// Branches that are not decided. *Without: an answer to who asks for them is longer than its count can say, which has 15 bits.*
pub(crate) const BRANCHES: usize = 32_767;

/// Bytes of the log that marks may take, however long it may be: twice what as many as may be by default take that have names of
/// 60 characters and their part of the runs.
pub(crate) const MARKS_BYTES: u64 = 32 << 20;

/// A walk that has not come further for so long stands still: the front cannot be read, or the medium gives no room to move it to. Then
/// who waits for it is answered.
pub(crate) const STALL_NANOS: u64 = 1_000_000_000;

/// Bytes of memory that the selectors of all consumers may take, shared as switches share their buffers ([`limits::is_fair_share`]). *Without: a
/// client has 65,536 consumers, each with a program of megabytes.*
pub(crate) const SELECTOR_BYTES: u64 = 256 << 20;

/// The same of all durable subscriptions, with their topics and selectors, shared by clients. *Without: a client leaves 65,536 behind, each
/// with a program of megabytes or with thousands of topics, for ever.*
pub(crate) const SUBSCRIPTION_BYTES: u64 = 256 << 20;

// ---- space: the spool (R21)

/// The youngest segments are left alone, as long as there is room or will be by itself: they empty themselves.
pub(crate) const YOUNG_SEGMENTS: u64 = 4;

/// A segment is evacuated when at most one in so many of its bytes lives.
pub(crate) const SPARSE: u64 = 8;

/// The same when the spool is full.
pub(crate) const SPARSE_IF_FULL: u64 = 2;

const _: () = assert!(1 < SPARSE_IF_FULL && SPARSE_IF_FULL < SPARSE, "a move makes more room than it takes");

/// Of what a topic holds, one message in so many goes at a time: all that are behind lose in proportion.
pub(crate) const SHED_SHARE: usize = 8;

/// In one of so many passes in a row through a full spool those that hold few lose as well: others may get as much as they lose.
pub(crate) const SHED_PASSES: u32 = 64;

// ---- work of one turn (R25, R53)

/// Deliveries and messages looked at in one turn.
pub(crate) const TURN_STEPS: usize = 8_192;

/// Nanoseconds that a step takes, about.
const STEP_NANOS: u64 = 100;

/// Bytes of a record that are copied and checked in the time of a step.
pub(crate) const STEP_BYTES: usize = 256;

/// Steps of jobs in one turn.
pub(crate) const JOB_STEPS: usize = 2_000;

const _: () = assert!(JOB_STEPS as u64 * STEP_NANOS <= limits::JOB_SLICE_NANOS, "a slice is as long as it may be");

/// Steps that the commands of one turn take, besides what each of them takes: a command that may take [`limits::HANDLE_STEPS`] is the
/// last one beyond it.
pub(crate) const COMMAND_STEPS: usize = 4_000;

const _: () = assert!(COMMAND_STEPS >= limits::HANDLE_STEPS && COMMAND_STEPS <= TURN_STEPS);

/// Bytes that reclaim walks in one turn: what jobs copy in theirs, twice, as nothing is created where it falls behind. *Without: where
/// much has died at once, a turn lasts as long as moving all that lives.*
pub(crate) const WALKED_BYTES: u64 = 2 * (JOB_STEPS * STEP_BYTES) as u64;

/// Debt of the walk that is remembered: what is appended while the front cannot be read is not paid at once.
pub(crate) const MOST_DEBT_BYTES: u64 = 64 * WALKED_BYTES;

/// Marks that are looked at in one turn's walk, each of them eight to a step.
pub(crate) const WALKED_MARKS: usize = 4_096;

const _: () = assert!(WALKED_MARKS / 8 <= JOB_STEPS);

/// Segments and records of the spool that are looked at in one turn, and bytes that move.
pub(crate) const EVACUATED_SEGMENTS: usize = 16;
/// Records of them.
pub(crate) const EVACUATED_RECORDS: usize = 1_024;
/// Bytes of them.
pub(crate) const EVACUATED_BYTES: u64 = 256 * 1024;

const _: () = assert!(EVACUATED_SEGMENTS + EVACUATED_RECORDS <= JOB_STEPS);
const _: () = assert!(EVACUATED_BYTES <= (JOB_STEPS * STEP_BYTES) as u64);

/// Messages of topics that go in one turn at most.
pub(crate) const SHED_MESSAGES: usize = 2_048;

const _: () = assert!(SHED_MESSAGES <= TURN_STEPS);

// ---- a batch, a record and a segment

/// Bytes of the smallest segment that can be set.
const SMALLEST_SEGMENT_BYTES: u64 = 1 << 20;

const _: () = assert!(
    (limits::BATCH_BYTES + limits::BATCH_COMMANDS * 256) as u64 * 2 <= SMALLEST_SEGMENT_BYTES,
    "a full batch of small sends fits into a segment: only what is larger by itself needs one of its own"
);
const _: () = assert!(
    EVACUATED_BYTES * 2 <= SMALLEST_SEGMENT_BYTES && SMALLEST_SEGMENT_BYTES <= WALKED_BYTES * 2,
    "a small segment is walked in a few turns"
);
