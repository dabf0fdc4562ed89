//! Everything that is tested from outside the crate.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod bad_input;
mod chat_server;
mod cli;
mod devices;
mod edits;
mod golden;
mod hub;
mod hub_server;
mod judges;
mod pages;
mod recorded;
mod stages;
mod teacher;
mod triples;
