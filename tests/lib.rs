//! Everything that is tested from outside the crate.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod bad_files;
mod bad_input;
mod chat_answers;
mod chat_forms;
mod chat_limits;
mod chat_server;
mod classifiers;
mod cli;
mod devices;
mod edits;
mod everyday;
mod follow_ups;
mod foreign_files;
mod golden;
mod hub;
mod hub_manners;
mod hub_refusals;
mod hub_server;
mod judge_flags;
mod other_teachers;
mod pages;
mod public_judges;
mod real;
mod recorded;
mod sentence_judges;
mod serve;
mod serve_changes;
mod serve_refusals;
mod served;
mod shell;
mod stages;
mod teacher;
mod triples;
