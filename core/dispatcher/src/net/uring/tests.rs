//! What a kernel does only at times.

use std::io::Write as _;

use super::*;

fn poll(driver: &mut Uring) {
    for _ in 0..10 {
        driver.poll(Wait::For(Duration::from_millis(2)), &mut crate::net::Nobody).unwrap();
    }
}

#[test]
fn a_pause_stops_a_receive_whose_last_cancel_failed_after_the_pause_was_over() {
    if probe().is_err() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = Socket::connect(listener.local_addr().unwrap()).unwrap();
    let mut driver = Uring::new(1).unwrap();
    let connection = driver.adopt(listener.accept().unwrap().0).unwrap();
    poll(&mut driver);
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
