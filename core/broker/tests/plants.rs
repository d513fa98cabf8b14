//! Each planted bug turns something red.

use crate::world::record;
use crate::{
    acknowledge, branches, browsing, connection, counting, damage, dead_letters, decisions, follow, late, marks,
    members, model, names, pacing, pairs, parking, passes, places, prepared, queue, rotten, selecting, slices, space,
    spooling, subscriptions, told, topic, transactions, waiting,
};
use postrider_broker::{Broker, Config, plant};
use postrider_journal::{Home, Position, Record, SegmentNumber};
use std::panic::catch_unwind;

/// A record says the same to brokers of different settings (R12).
fn settings_change_nothing() {
    let body = record(&[crate::world::queue("q")], b"x", true, 1, 99);
    let home = Home { position: Position(4_096), segment: SegmentNumber(1), ordinal: 0, len: body.len() as u32 };
    let meta = [0, 1, 7, 0, 0, 0, 0, 0, 0];
    let told = |dead_letter_expired| {
        let mut broker = Broker::new(Config { dead_letter_expired, ..Config::default() });
        let record = Record { kind: 9, flags: 0, sequence: 5, meta: &meta, body: &body, body_crc: 0 };
        broker.follow(&record, home).unwrap();
        broker.digest()
    };
    assert_eq!(told(true), told(false));
}

fn is_seen() -> Option<&'static str> {
    let checks: &[(&'static str, fn())] = &[
        ("order of decisions", decisions::what_comes_while_a_decision_takes_effect_stands_behind_it),
        ("moves of decisions", decisions::reclaim_stands_still_while_a_decision_takes_effect),
        (
            "subscriptions",
            subscriptions::an_acknowledgement_buries_it_for_its_subscription_alone_and_a_move_names_those_that_want_it,
        ),
        ("subscriptions after crashes", subscriptions::who_has_had_it_leaves_it_to_the_others_also_after_a_crash),
        ("late subscriptions", subscriptions::what_is_committed_comes_to_those_that_are_there_then),
        ("late branches", late::who_comes_between_sends_has_each_of_them_once),
        ("branches of a client", late::who_wants_nothing_of_its_own_client_gets_none_of_a_branch_of_another_life),
        ("acknowledge", acknowledge::a_poisoned_message_is_in_the_dead_letter_queue_also_after_a_crash),
        ("dead letters", dead_letters::wherever_the_power_goes_a_message_is_in_one_queue),
        ("siblings", dead_letters::a_dead_letter_out_of_a_deleted_queue_is_known_to_the_others_also_after_a_crash),
        ("browsers", || browsing::a_browser_goes_on_in_pieces(7, 200)),
        ("crowd of browsers", browsing::a_crowd_of_browsers_that_are_shown_much_keeps_nobody_waiting),
        ("takeover", connection::a_client_that_comes_back_takes_its_connection_over),
        ("duplicates", connection::a_producer_is_remembered_when_its_records_are_gone),
        ("gaps", connection::refused_sends_that_nobody_repeats_are_no_gap_in_what_a_producer_sent),
        ("pace", pacing::a_slow_consumer_and_none_at_all_slow_nobody),
        ("going on", pacing::who_is_held_back_by_few_goes_on_when_half_of_them_have_left),
        ("order", queue::what_a_closed_consumer_had_comes_back_first_and_in_order),
        ("marks", queue::what_nobody_had_is_not_marked_after_a_crash),
        ("room of dead letters", dead_letters::a_dead_letter_without_room_holds_nobody_back),
        ("redelivered", queue::a_session_that_closes_marks_what_each_of_its_consumers_had_delivered),
        ("expiry", waiting::a_sweep_finds_expired_messages_that_came_back),
        ("credit of who gives up", acknowledge::who_gives_up_what_was_rolled_back_goes_on),
        ("credit of windows", space::a_refused_send_gives_its_part_of_the_window_back),
        ("credit", queue::credit_is_kept_and_turns_are_taken),
        ("extension", acknowledge::a_count_of_seen_messages_lifts_no_prefetch),
        ("window", queue::the_send_window_and_the_ring_hold_dispatch_until_they_open),
        ("spool", topic::a_slow_subscriber_holds_its_segments),
        ("advisories", topic::an_advisory_stands_before_the_answer_and_before_what_it_allows),
        ("advisories of consumers", told::a_bridge_hears_of_consumers_that_are_there_come_and_go),
        ("consumers", told::a_consumer_is_answered_behind_what_tells_of_it),
        ("who listens", told::topics_of_advisories_go_with_the_last_that_listens),
        ("told again", topic::a_watcher_does_not_wait_for_bytes_nor_lose_what_was_shed),
        ("creations", parking::a_send_to_a_new_queue_waits_for_room_as_others_do),
        ("pairs", pairs::patterns_over_very_many_queues_stay_within_their_bound_and_give_it_back),
        ("refused", pairs::a_refused_consumer_has_got_nothing),
        ("views", members::what_consumers_do_not_want_does_not_stop_them),
        ("old matches", selecting::each_gets_what_it_wants_whether_it_was_there_or_comes),
        ("rests", passes::beside_other_work_trials_rest),
        ("passes", passes::who_comes_waits_for_nobodys_dear_selectors),
        ("slow passes", passes::what_has_gone_out_past_a_slow_pass_is_tried_by_it_once_when_it_is_back),
        ("named", selecting::what_goes_past_others_is_marked_after_a_crash_and_nothing_else),
        ("nothing", selecting::a_pull_hears_of_nothing_when_all_has_been_tried),
        ("deliveries", selecting::what_reads_deliveries_is_asked_again),
        ("cold views", selecting::of_queues_that_are_tried_one_waits_for_bytes_at_a_time),
        ("deletions", follow::a_queue_goes_with_all_that_it_has_taken_in),
        ("long names", names::a_name_that_is_too_long_is_refused_and_not_repeated),
        ("slices", slices::very_many_temporary_destinations_go_in_slices_and_all_are_told_of),
        ("answers", waiting::an_answer_waits_for_its_own_jobs_only),
        ("places", places::a_message_in_hundreds_of_queues_is_in_all_of_them_after_a_crash),
        ("spool's limit", spooling::with_a_full_spool_a_slow_subscriber_loses_the_oldest),
        ("bounds", waiting::a_turn_does_a_bounded_amount),
        ("limit", space::at_the_limit_those_who_wait_are_refused_and_the_others_paused),
        ("parked", parking::what_makes_room_passes_parked_sends_and_what_depends_on_them_waits),
        ("parked lines", parking::whoever_needs_little_passes_those_who_need_more_than_there_is),
        ("parked places", parking::parked_sends_count_the_places_that_are_defined_behind_others),
        ("cold", space::cold_messages_are_asked_for_and_sent_when_they_come),
        ("room of marks", marks::producers_of_a_long_name_leave_room_in_the_log),
        ("space", model::the_log_follows_what_lives),
        ("damage", rotten::each_record_of_a_window_is_checked_before_it_goes_out),
        ("names", damage::a_queue_whose_record_is_lost_is_named_by_its_messages),
        ("numbers", damage::after_damage_no_number_is_used_again),
        ("front", rotten::damaged_messages_do_not_hold_the_front),
        ("settings", settings_change_nothing),
        ("counts", counting::how_often_a_message_was_delivered_is_known_after_a_start),
        ("decisions", transactions::what_is_sent_shows_with_the_durable_commit_in_order_and_wherever_it_lies),
        ("refused", transactions::beyond_its_bounds_one_is_doomed_and_nobody_is_paused),
        ("claims", transactions::a_closing_consumer_leaves_what_its_transaction_has),
        ("ranges", transactions::a_range_that_its_client_has_counted_for_less_is_whole_all_the_same),
        ("queues in use", transactions::a_queue_is_in_use_that_something_undecided_names),
        ("orphans", transactions::nothing_is_done_under_one_that_has_not_begun),
        ("branches", branches::what_is_prepared_is_decided_after_its_connection_and_a_start),
        ("claims at subscriptions", prepared::what_is_claimed_of_a_subscription_moves_for_it_after_a_start),
        ("kept aside", branches::what_may_have_been_committed_is_kept_aside),
        ("said again", branches::what_is_said_again_is_answered_and_not_done_again),
        ("room of branches", branches::what_is_prepared_is_committed_when_the_log_is_full),
        ("orphans of branches", branches::one_that_is_not_prepared_goes_with_the_connection_that_began_it),
        ("moves in branches", || assert!(branches::check_moves(1..=4) > 0)),
        ("moves", || assert!(transactions::check_moves(1..=6) > 0)),
        ("histories", || (0..40).for_each(|seed| assert!(follow::check(seed, false).0 < 1_000))),
        ("model", || (100..130).for_each(|seed| drop(model::run(seed, 1_500)))),
    ];
    checks.iter().find(|(_, check)| catch_unwind(check).is_err()).map(|(name, _)| *name)
}

#[test]
fn every_planted_bug_is_seen() {
    assert_eq!(is_seen(), None, "without a bug all is well");
    let mut missed = Vec::new();
    for (name, rule) in plant::LIST {
        plant::set(name);
        match is_seen() {
            Some(check) => println!("PLANT {name} ({rule}): seen by {check}"),
            None => missed.push(name),
        }
        plant::set("");
    }
    assert!(missed.is_empty(), "nobody sees {missed:?}");
}
