//! What a kernel does only at times.

use std::io::Write as _;

use super::*;

fn poll(driver: &mut Uring) {
    for _ in 0..10 {
        driver.poll(Wait::For(Duration::from_millis(2)), &mut crate::net::Nobody).unwrap();
    }
}

/// A driver, its only connection, and the peer of that; nothing where there is no io_uring.
fn connected() -> Option<(Uring, Connection, Socket)> {
    probe().ok()?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Socket::connect(listener.local_addr().unwrap()).unwrap();
    let mut driver = Uring::new(1).unwrap();
    let connection = driver.adopt(listener.accept().unwrap().0).unwrap();
    poll(&mut driver);
    Some((driver, connection, peer))
}

#[test]
fn a_pause_stops_a_receive_whose_last_cancel_failed_after_the_pause_was_over() {
    let Some((mut driver, connection, mut peer)) = connected() else { return };
    // Paused and resumed, and the kernel, which was at work on the receive, did not cancel it.
    driver.endpoints.get_mut(connection).unwrap().receive = Receive::Cancelling;
    driver.complete_cancel(connection, -libc::EALREADY);
    driver.pause(connection);
    poll(&mut driver);
    peer.write_all(&[7; 1000]).unwrap();
    poll(&mut driver);
    assert!(driver.endpoints.get_mut(connection).unwrap().held.is_empty(), "nothing is taken during a pause");
    driver.resume(connection);
    poll(&mut driver);
    assert_eq!(driver.statistics().bytes_in, 1000);
}

#[test]
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a busy machine takes longer than the moment")]
fn a_little_of_who_is_gathered_is_no_news_for_a_moment() {
    let Some((mut driver, connection, mut peer)) = connected() else { return };
    let mut looked = false;
    for round in 1..=1000 {
        let begin = std::time::Instant::now();
        driver.gather(connection, 100);
        peer.write_all(&[7; 10]).unwrap();
        driver.poll(Wait::None, &mut crate::net::Nobody).unwrap();
        let came = driver.statistics().bytes_in == 10 * round;
        // On a busy machine the moment may be over by now.
        if begin.elapsed() < Duration::from_micros(900) {
            assert!(!came, "a little came at once");
            looked = true;
        }
        while driver.statistics().bytes_in < 10 * round {
            poll(&mut driver);
        }
        if looked {
            break;
        }
    }
    driver.gather(connection, 100);
    let before = driver.statistics().bytes_in;
    peer.write_all(&[7; 100]).unwrap();
    while driver.statistics().bytes_in < before + 100 {
        poll(&mut driver);
    }
}
