//! A character that answers from what is known about her, with the score of each answer.
//!
//! ```text
//! cargo run --release --example chat
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use apc::persona::{AnswerConfig, Character, Persona};
use apc::text::{Engine, EngineConfig, Work};
use apc::tiny::{Embedded, scorer};
use burn::tensor::Device;

fn main() -> apc::Result<()> {
    let devices = Device::flex().into();
    let mira = Persona::new("Mira", ["Mira plays the cello.", "Mira lives in Bergen."]);
    let gemma = EngineConfig::new(Embedded::Gemma.checkpoint(), Work::reply(64));
    let engine = Engine::open(gemma, &devices)?;
    let mut mira = Character::new(mira, engine, scorer(&devices)?, AnswerConfig::new())?;
    for message in ["Which instrument do you play?", "Where do you live?"] {
        let answer = mira.answer(message)?;
        println!(
            "{message}\n  {} (ΔAPC {:+.3})",
            answer.response, answer.score.delta_apc
        );
    }
    Ok(())
}
