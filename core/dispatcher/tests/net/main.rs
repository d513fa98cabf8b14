//! One suite for all network drivers: what the shard may rely on, whichever it runs on.
#![cfg(not(loom))]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "real clients, and patience with them")]

mod cases;
mod endings;
mod support;

/// The suite as a module of tests over one driver. Where `available` is an error, the machine does not have the driver, and
/// the tests say so and test nothing.
macro_rules! suite {
    ($driver:ident, $available:expr, $make:expr) => {
        mod $driver {
            suite!(@cases $available, $make, cases: echo_of_random_sizes_over_many_connections, who_comes_in_is_named_with_its_listener,
                thousands_of_short_connections, large_sends_to_a_slow_reader, pause_holds_bytes_back_and_resume_brings_them,
                pausing_in_a_flood_loses_nothing, beside_many_paused_ones_a_poll_receives_little, wake_from_another_thread, a_wait_ends_by_its_bound,
                a_wait_for_several_ends_by_its_bounds, what_is_gathered_comes_after_a_moment, sockets_are_dealt_to_another_driver, a_full_driver_refuses_and_takes_again, statistics_count_bytes,
                a_flood_does_not_starve_others, beside_many_that_send_much_who_sends_little_is_heard_soon);
            suite!(@cases $available, $make, endings: half_close_still_gets_its_answers, a_reset_is_reported_once,
                a_reset_is_noticed_while_paused, a_send_to_a_vanished_peer_fails, close_lets_the_pending_send_finish,
                close_at_once_fails_the_pending_send, at_once_overrides_drained, nothing_arrives_after_a_close,
                a_slot_used_again_is_another_connection, dropping_a_driver_with_sends_pending_ends_its_connections);
        }
    };
    (@cases $available:expr, $make:expr, $group:ident: $($case:ident),* $(,)?) => {
        $(#[test] fn $case() {
            match $available {
                Ok(()) => crate::$group::$case($make),
                Err(error) => eprintln!("not tested, the machine refuses the driver: {error}"),
            }
        })*
    };
}

suite!(epoll, std::io::Result::Ok(()), || postrider_dispatcher::net::epoll::Epoll::new(2048).unwrap());
suite!(uring, postrider_dispatcher::net::uring::probe(), || postrider_dispatcher::net::uring::Uring::new(2048)
    .unwrap());
suite!(tokio_uring, postrider_dispatcher::net::uring::probe(), || {
    postrider_dispatcher::net::tokio_uring::TokioUring::new(2048).unwrap()
});
