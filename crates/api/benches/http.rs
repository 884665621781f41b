//! What a request costs from socket to socket, beside what actix alone costs in the same run.

fn main() {}
