//! What can be looked at, each in its own file.

mod auth_cache;
mod database;
mod disk_space;
mod engine;
mod memory;
mod migrations;
mod sim_api;

pub use auth_cache::AuthCache;
pub use database::Database;
pub use disk_space::DiskSpace;
pub use engine::Engine;
pub use memory::Memory;
pub use migrations::Migrations;
pub use sim_api::SimApi;
