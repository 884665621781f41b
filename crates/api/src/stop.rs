use std::io;
use std::time::Duration;

use actix_web::dev::Server;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Readiness;

/// How long connections are kept for the next request on them, whose answer says that it was the last one. A client
/// that sends nothing for that long may find its connection closed.
const LINGER: Duration = Duration::from_secs(1);
/// How long a connection may be on its way from the socket to the worker that counts it.
const SETTLE: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(10);

/// Stops a server without a dropped request, within `grace`: every answer from now on ends its connection, whoever is
/// connected may ask once more, and what was asked is answered. Gives the number of requests that the end of the grace
/// cuts off.
///
/// A socket that is `inherited` stays open for the next process, and connections that nobody took up wait there for
/// it. Another one takes connections until the last moment.
///
/// # Errors
/// When the server had failed.
pub async fn stop(mut server: Server, readiness: &Readiness, grace: Duration, inherited: bool) -> io::Result<usize> {
    let end = Instant::now() + grace;
    readiness.drain();
    let handle = server.handle();
    let orderly = async {
        if inherited {
            handle.pause().await;
            sleep(SETTLE).await;
        }
        let _ = timeout(LINGER, disconnected(readiness)).await;
        // Ends at once what idles. That nothing is left it would see with the next whole second only.
        tokio::select! {
            () = handle.stop(true) => {}
            () = disconnected(readiness) => {}
        }
    };
    tokio::select! {
        ended = &mut server => ended.map(|()| 0),
        () = orderly => Ok(0),
        // Dropped at the end, the server cuts them off.
        () = sleep_until(end) => Ok(readiness.under_way()),
    }
}

async fn disconnected(readiness: &Readiness) {
    while readiness.connections() > 0 {
        sleep(POLL).await;
    }
}
