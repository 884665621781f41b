//! Runs real clusters from the PostgreSQL that is installed here (or in `PG_BIN_DIR`).

mod start;
