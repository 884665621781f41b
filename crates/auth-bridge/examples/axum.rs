//! A server that knows Sim's users, with axum. It starts itself, calls itself and shows what a client sees.
//!
//! `cargo run -p parlant-auth-bridge --features testing,tower --example axum`

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use parlant_auth_bridge::testing::{MemorySource, somebody};
use parlant_auth_bridge::tower::{AuthLayer, Authenticated};
use parlant_auth_bridge::{AuthBridge, ClientAddress, Config, Permission};
use tokio::net::TcpListener;

#[cfg(not(test))]
#[path = "client/mod.rs"]
mod client;
#[cfg(test)]
use super::client;

/// Only who is signed in gets here: 401 without a credential or with a bad one, 503 when nobody can tell.
async fn hello(caller: Authenticated) -> String {
    format!("Hello, {}", caller.user.name)
}

/// Everybody gets here; a bad credential is still refused.
async fn front_door(caller: Option<Authenticated>) -> &'static str {
    if caller.is_some() { "Welcome back" } else { "Welcome, stranger" }
}

/// Who may write in the workspace.
async fn write(
    caller: Authenticated,
    Path(workspace): Path<String>,
) -> Result<&'static str, (StatusCode, &'static str)> {
    if caller.permission(&workspace) >= Some(Permission::Write) {
        Ok("Written")
    } else {
        Err((StatusCode::FORBIDDEN, "Access denied"))
    }
}

/// Notes who asks, for an `HttpSource`, whose Sim limits rates by client. Behind a proxy the address is in a header.
async fn note_client(ConnectInfo(client): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(ClientAddress(client.ip()));
    next.run(request).await
}

/// Starts the server and asks it.
pub(crate) async fn run() -> Result<String, Box<dyn Error>> {
    // A real server has a `DatabaseSource` over its own pool here, or an `HttpSource`.
    let source = Arc::new(MemorySource::default());
    source.sign_in("letmein", somebody("ada"));
    let bridge = AuthBridge::new(&Config::default(), source)?;

    let members = Router::new().route("/members", get(async || "Members only"));
    let app = Router::new()
        .route("/", get(front_door))
        .route("/hello", get(hello))
        .route("/write/{workspace}", get(write))
        .layer(AuthLayer::new(bridge.clone()))
        .merge(members.layer(AuthLayer::new(bridge).required()))
        .layer(from_fn(note_client));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let server =
        tokio::spawn(
            async move { axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await },
        );
    let shown = client::show(address).await;
    server.abort();
    Ok(shown?)
}

#[cfg(not(test))]
#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", run().await?);
    Ok(())
}
