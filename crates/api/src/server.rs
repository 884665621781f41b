use std::any::Any;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::NormalizePath;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use tokio::net::TcpStream;

use crate::middleware::Requests;
use crate::{Config, Readiness, Scrape, State, TrustedProxies, app, routes};

/// How long an idle connection is kept. Longer than the minute that load balancers keep theirs, or they would send
/// requests into connections that are being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to read the rest of an answer that ends the connection.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may leave what it was sent unread. Shorter than the usual `SHUTDOWN_GRACE`, which it would use up.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves HTTP on a socket that listens already, until the [`Server`]'s handle stops it: it listens to no signals.
/// `more` mounts further [`Endpoint`](crate::Endpoint)s; it runs once in each worker.
///
/// [`stop`](crate::stop()) ends it without a dropped request.
///
/// Install the metrics recorder first.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(
    listener: TcpListener,
    config: &Config,
    state: State,
    more: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let cors_origins = config.cors_origins.clone();
    let readiness = state.readiness.clone();
    let server = HttpServer::new(move || app(&state, &cors_origins).configure(&more))
        .on_connect(move |connection, data| {
            cut_when_stalled(connection);
            data.insert(readiness.connect());
        })
        .workers(config.workers.get())
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        // A client that closes its half has gone: nobody waits for the answer.
        .h1_allow_half_closed(false)
        .shutdown_timeout(config.shutdown_grace.as_secs())
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// Serves `/metrics` alone on a socket of its own and from a thread of its own, so that it answers however busy those
/// of [`serve`] are. It ends with the process.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve_metrics(listener: TcpListener, scrape: Scrape, readiness: Readiness) -> io::Result<Server> {
    let app = move || {
        App::new()
            .configure(|config| routes::mount_metrics(config, &scrape))
            .wrap(Requests::new(readiness.clone(), TrustedProxies::default()))
            .wrap(NormalizePath::trim())
    };
    let server = HttpServer::new(app)
        .workers(1)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .h1_allow_half_closed(false)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// Nobody polls an answer while its client does not read, so it is for the kernel to notice and cut.
fn cut_when_stalled(connection: &dyn Any) {
    if let Some(stream) = connection.downcast_ref::<TcpStream>() {
        let limit = u32::try_from(WRITE_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
        // Without it a client is only worse bounded.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, limit);
    }
}
