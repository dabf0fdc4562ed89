//! A chat model behind a server that speaks OpenAI's API: what it takes is learnt from its answers and refusals.
//!
//! `openai` is the model; `learning` finds the form of requests that the server takes (`form`, `sizes`), `traffic` sends them
//! and waits (`address`, `gate`), `answer` and `refusal` read what comes back.

mod address;
mod answer;
mod form;
mod gate;
mod learning;
mod openai;
mod refusal;
mod sizes;
mod traffic;

pub use openai::{OpenAi, OpenAiConfig};
