//! A server that knows Sim's users, with actix-web. It starts itself, calls itself and shows what a client sees.
//!
//! `cargo run -p parlant-auth-bridge --features actix,testing --example actix`

use std::error::Error;
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use parlant_auth_bridge::actix::{Authenticated, MaybeAuthenticated, require};
use parlant_auth_bridge::testing::{MemorySource, somebody};
use parlant_auth_bridge::{AuthBridge, Config, Permission};

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
async fn front_door(MaybeAuthenticated(caller): MaybeAuthenticated) -> &'static str {
    if caller.is_some() { "Welcome back" } else { "Welcome, stranger" }
}

/// Who may write in the workspace.
async fn write(caller: Authenticated, workspace: web::Path<String>) -> Result<&'static str, actix_web::Error> {
    if caller.permission(&workspace) >= Some(Permission::Write) {
        Ok("Written")
    } else {
        Err(actix_web::error::ErrorForbidden("Access denied"))
    }
}

/// Starts the server and asks it.
pub(crate) async fn run() -> Result<String, Box<dyn Error>> {
    // A real server has a `DatabaseSource` over its own pool here, or an `HttpSource`.
    let source = Arc::new(MemorySource::default());
    source.sign_in("letmein", somebody("ada"));
    let bridge = AuthBridge::new(&Config::default(), source)?;

    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let app = move || {
        App::new()
            .app_data(bridge.clone())
            .route("/", web::get().to(front_door))
            .route("/hello", web::get().to(hello))
            .route("/write/{workspace}", web::get().to(write))
            .service(web::scope("/members").wrap(from_fn(require)).route("", web::get().to(async || "Members only")))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run();
    let handle = server.handle();
    tokio::spawn(server);
    let shown = client::show(address).await;
    handle.stop(true).await;
    Ok(shown?)
}

#[cfg(not(test))]
#[actix_web::main]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", run().await?);
    Ok(())
}
