//! `rempart`: the command line.

fn main() {}
