//! The `hdms` command.

fn main() {}
