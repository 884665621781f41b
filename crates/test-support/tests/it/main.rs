//! The helpers that other crates' tests believe in.

mod databases;
