use std::{fmt, net::SocketAddr};

use tokio_postgres::Client;

use crate::{Sim, server::Server};

/// A database of one test. It is gone with the server, at the end of the test process, not earlier.
pub struct TestDatabase {
    server: &'static Server,
    name: String,
}

/// A new database with Sim's tables, the roles of `deploy/sql/roles.sql` and the bridge's migrations.
///
/// # Panics
/// When PostgreSQL is not installed or does not start.
pub async fn database() -> TestDatabase {
    let server = Server::shared().await;
    let name = server.create_full().await;
    TestDatabase { server, name }
}

/// A new database without tables; the roles are there and `parlant_migrator` may create.
///
/// # Panics
/// When PostgreSQL is not installed or does not start.
pub async fn empty_database() -> TestDatabase {
    let server = Server::shared().await;
    let name = server.create_empty().await;
    TestDatabase { server, name }
}

impl TestDatabase {
    /// As `parlant_app`, whom the server runs as.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_as("parlant_app")
    }

    /// As `parlant_migrator`, who owns the bridge's tables.
    #[must_use]
    pub fn migrator_url(&self) -> String {
        self.url_as("parlant_migrator")
    }

    /// As the superuser.
    #[must_use]
    pub fn superuser_url(&self) -> String {
        self.url_as("postgres")
    }

    /// As another role; every role of the shared server that can log in has the same password.
    #[must_use]
    pub fn url_as(&self, role: &str) -> String {
        self.server.url(role, &self.name)
    }

    /// The same as [`Self::url`], through `proxy`, say a [`crate::ChaosProxy`] in front of [`Self::address`].
    #[must_use]
    pub fn url_through(&self, proxy: SocketAddr) -> String {
        self.url().replace(&self.address().to_string(), &proxy.to_string())
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection as the superuser. It lives as long as the runtime that asked for it.
    ///
    /// # Panics
    /// When the server is gone.
    pub async fn superuser(&self) -> Client {
        self.server.connect("postgres", &self.name).await
    }

    /// Somebody who writes Sim's tables as Sim does.
    ///
    /// # Panics
    /// When the server is gone.
    pub async fn sim(&self) -> Sim {
        Sim::new(self.server.connect("sim", &self.name).await)
    }
}

impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDatabase").field("name", &self.name).finish_non_exhaustive()
    }
}
