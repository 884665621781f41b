//! Alert rules as data, and what is made of them.
