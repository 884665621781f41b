//! What an operator does with a running bridge: diagnose it, restart it, put it under load.
//!
//! `parlant-ops` is the program that does it from a shell; everything here works as well from a test.
//!
//! | room | does |
//! | --- | --- |
//! | [`doctor`] | finds out what is wrong with a deployment, and says what to do about it |
//! | [`load_test`] | measures what users see of a server under load |
//! | [`restart`] | restarts the service so that no request is lost, and sees that it worked |

pub mod doctor;
pub mod load_test;
pub mod restart;
